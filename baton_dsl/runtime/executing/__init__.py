"""Running steps: a worker's process, and in it the gate, the call of the function, and the settle."""
