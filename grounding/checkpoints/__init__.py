"""Loading checkpoints safely, quantised or in original layouts. No inference."""
