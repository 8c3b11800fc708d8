"""What a text says of a scene: objects, attributes and relations, from a parse."""
