"""Memory and placement on the accelerator. It knows no image and no mask."""
