"""Accuracy against samples seen and seconds.

Run it as `python -m benchmarks.sample_efficiency`.
"""
