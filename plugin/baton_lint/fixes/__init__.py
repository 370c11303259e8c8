"""Fixes: planned during the analysis, and applied to exactly the characters that they name."""
