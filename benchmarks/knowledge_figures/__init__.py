"""The parts of `benchmarks/knowledge.py`: one module for each figure."""
