"""The version of the library. Its rules, schema and caches are tied to it."""

__version__ = "0.1.0"
