"""Which heads localize: the paper's Sec. 4. It knows rows, and no picture or mask."""
