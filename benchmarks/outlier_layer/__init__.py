"""How fast the fit inside the outlier layer is.

Run it as `python -m benchmarks.outlier_layer`.
"""
