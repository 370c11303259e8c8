"""Write flows as plain calls, and have other type checkers check them."""
