"""Record usage, captures and checkpoints of attempts, and read them."""
