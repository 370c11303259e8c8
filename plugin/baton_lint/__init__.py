"""baton-lint: check whole flows from source, without importing it."""
