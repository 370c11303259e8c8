"""From a checked flow and its inputs to the rows of one insert. Pure: nothing here reads or writes a database."""
