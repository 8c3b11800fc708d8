"""How fast retrieval is scored.

Run it as `python -m benchmarks.retrieval`.
"""
