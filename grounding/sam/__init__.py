"""The segmenter and its coordinates. It knows no words and no attention."""
