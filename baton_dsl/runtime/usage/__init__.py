"""What attempts record beside their results: calls of models, what these saw, and checkpoints."""
