"""From a text to the concepts that it names, and to their facts."""
