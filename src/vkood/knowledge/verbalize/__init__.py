"""A fact as an English sentence."""
