"""Presets and the models they name. It knows no picture and no request."""
