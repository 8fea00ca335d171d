"""The painted crop back into its picture: colour, blend, composite. No model."""
