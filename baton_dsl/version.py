"""The version of the library, which its rules, its schema and its caches are tied to."""

__version__ = "0.1.0"
