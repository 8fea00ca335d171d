"""A sentence to its noun phrases, by spaCy. It knows no picture and no model."""
