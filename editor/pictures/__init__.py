"""Files to pixels and back, with all metadata. It knows no model and no request."""
