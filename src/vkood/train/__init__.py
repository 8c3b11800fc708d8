"""Training: from a run, which says everything, to models and numbers."""
