"""Training: from a run, the complete configuration, to models and metrics."""
