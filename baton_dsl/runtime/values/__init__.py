"""Values in rows: results, inputs, names of code, and errors, as they are written and read back."""
