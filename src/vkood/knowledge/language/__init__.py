"""English as far as linking and wording need it: tokens, lemmas, noun phrases, word lists."""
