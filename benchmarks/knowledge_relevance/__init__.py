"""How well gates separate the facts of the right meaning of an ambiguous word from those of the wrong one.

Run it as `python -m benchmarks.knowledge_relevance`.
"""
