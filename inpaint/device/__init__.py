"""Memory of the accelerator. It does not know pictures or prompts."""
