"""Commands that are jobs of their own, one module each: ``add_parsers(commands)`` adds them."""
