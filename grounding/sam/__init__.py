"""The segmenter and its coordinates. It knows no phrases and no attention maps."""
