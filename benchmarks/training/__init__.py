"""How fast training is.

Run it as `python -m benchmarks.training`.
"""
