"""Masks: where they come from and the operations on them. No model, no painting."""
