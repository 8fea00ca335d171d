"""What one user has open: picture, mask, edits. It knows no browser and no HTTP."""
