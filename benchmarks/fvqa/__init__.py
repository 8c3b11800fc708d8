"""Whether the fact that answers a question is among those that a model is handed, on FVQA."""
