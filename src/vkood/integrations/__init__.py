"""Adapters for other frameworks, each a thin module that needs the extra of its name."""
