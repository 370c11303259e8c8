"""Fixes: planned with the analysis, applied to exactly the characters that they name."""
