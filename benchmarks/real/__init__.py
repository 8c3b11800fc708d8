"""Benchmarks on real photographs, questions and captions, which are not part of the project."""
