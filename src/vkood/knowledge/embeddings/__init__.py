"""Sentences of facts as vectors, each encoded once."""
