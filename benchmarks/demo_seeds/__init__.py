"""The filtered arm of `vkood demo` over several seeds.

Run it as `python -m benchmarks.demo_seeds`.
"""
