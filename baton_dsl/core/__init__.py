"""The pure core: specs, the graph, the rules, and the life cycle of a node. Uses only the standard library."""
