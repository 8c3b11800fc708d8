"""How close each gradient of a fit is to the exact one, and what it costs.

Run it as `python -m benchmarks.gradients`.
"""
