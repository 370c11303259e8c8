"""Convert values in rows: results, inputs, names of code and errors, in both directions."""
