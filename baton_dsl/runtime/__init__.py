"""The runtime: turn a flow and its inputs into rows, run the steps, and read the results from the database."""
