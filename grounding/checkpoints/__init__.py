"""Loading checkpoints, quantised and in original layouts. It knows no prompts and no pictures."""
