"""A flow as plain calls, and what other type checkers say of them."""
