"""What the layer costs on a GPU.

Run it as `python -m benchmarks.gpu`.
"""
