"""From a text to the concepts of a store that it names, and to their facts."""
