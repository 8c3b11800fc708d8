"""How much irrelevant knowledge a model bears, with and without gates: the runs behind the README's tables.

`python -m benchmarks.knowledge_noise --help` says how to run them. Each finished run is a line of a JSON
file; what is there already is not run again.
"""
