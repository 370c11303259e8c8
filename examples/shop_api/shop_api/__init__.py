"""A shop: an API that takes orders, and a workflow that fulfils each of them."""
