"""Building a store: facts of sources are sorted, joined, and written to a file that appears when it is complete."""
