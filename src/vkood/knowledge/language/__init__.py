"""English as far as linking and wording need it: plain text, kinds of words, lemmas, phrases, lists (`data/`)."""
