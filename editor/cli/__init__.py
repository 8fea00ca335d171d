"""The command line: every command parses, calls the API and prints; the work is elsewhere."""
