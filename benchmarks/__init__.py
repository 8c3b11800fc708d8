"""Measurements of the library, each in a folder of its own; `README.md` lists them."""
