"""Both families at full size: time and memory.

Run it as `python -m benchmarks.models`.
"""
