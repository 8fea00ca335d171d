"""Put a painted canvas back into its picture. It does not know the model that painted it."""
