"""How fast, how large and how good the knowledge is; one module for each figure.

Run it as `python -m benchmarks.knowledge`.
"""
