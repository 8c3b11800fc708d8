"""Where facts come from: ConceptNet's dump, WordNet's files, tables, and our own everyday facts (`data/`)."""
