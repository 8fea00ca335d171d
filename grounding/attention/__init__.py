"""One LVLM and its attention rows: prompts, batching, capture. It knows no maps and no SAM."""
