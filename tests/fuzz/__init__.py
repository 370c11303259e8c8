"""baton-lint against inputs that nobody would write: `make fuzz`."""
