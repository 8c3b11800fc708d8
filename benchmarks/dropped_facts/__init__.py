"""What hard gates save by leaving closed facts out before the fusion."""
