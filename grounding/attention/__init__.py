"""One vision-language model and its attention rows. No maps, no masks."""
