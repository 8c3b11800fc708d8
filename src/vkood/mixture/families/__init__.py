"""Families of mixtures: what is fitted, step by step, and how it scores; one module each."""
