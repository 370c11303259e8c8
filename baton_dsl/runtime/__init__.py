"""The runtime: from a flow and its inputs to rows, and from rows to results. Everything that knows a database."""
