"""Lower a checked flow and its inputs to the rows of an insert. Pure: it neither reads nor writes a database."""
