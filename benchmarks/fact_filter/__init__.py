"""Whether `FactFilter` finds the fact that answers a question, on FVQA.

Run it as `python -m benchmarks.fact_filter`.
"""
