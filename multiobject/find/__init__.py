"""Noun phrases to masks. It knows no export format."""
