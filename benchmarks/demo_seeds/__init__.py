"""The filtered arm of `vkood demo --train` over several seeds.

Run it as `python -m benchmarks.demo_seeds`.
"""
