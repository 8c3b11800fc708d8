"""What gates are worth in front of a small vision-language model that reads facts in its prompt.

Run it as `python -m benchmarks.gated_vlm`.
"""
