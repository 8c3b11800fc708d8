"""What a text says of a scene: things, attributes and relations; optional, and better with spaCy."""
