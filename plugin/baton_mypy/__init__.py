"""The mypy plugin: a flow proven while its module is type-checked."""
