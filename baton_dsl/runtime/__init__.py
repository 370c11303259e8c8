"""The runtime: turns a flow and its inputs into rows, runs the steps, and reads the results. It uses the database."""
