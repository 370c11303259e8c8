"""Convert values to and from rows: results, inputs, names of code and errors."""
