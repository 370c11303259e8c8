"""The version of the library. Rules and caches are tied to it."""

__version__ = "0.1.0"
