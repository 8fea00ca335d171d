"""Diffusers pipelines behind one call. They know a canvas, and not the picture."""
