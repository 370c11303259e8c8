"""Adapters for clients of language models: what they call is recorded by itself. Each is imported when it is used."""
