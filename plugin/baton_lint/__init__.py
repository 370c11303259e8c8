"""baton-lint: the whole graph checked from source, without importing it."""
