"""Convert a `PanopticGrounding` to other formats. It does not write files."""
