"""The embedded default models: their world (scenes, phrases), training and scores.

The product reaches only the trained weights, by path, through the ``miniature`` preset.
"""
