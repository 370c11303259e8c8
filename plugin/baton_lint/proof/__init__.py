"""Write flows as plain calls, and let other type checkers check them."""
