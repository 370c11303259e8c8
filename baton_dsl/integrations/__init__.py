"""Adapters that record the calls of language models' clients. Import the one that you use."""
