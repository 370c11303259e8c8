"""Run steps: the worker process, and in it the gate, the call of the function, and the settle."""
