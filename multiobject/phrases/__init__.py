"""Captions to noun phrases, with spaCy. It does not know pictures or models that see."""
