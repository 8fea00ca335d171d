"""Find noun phrases as masks. It does not know export formats."""
