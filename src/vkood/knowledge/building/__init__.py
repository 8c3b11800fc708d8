"""Building a store: batches from sources, brought into order, written to a file."""
