"""Fixes: planned with the analysis, applied by libcst so that nothing else in the file changes."""
