"""The pure core: specs, the graph, the rules and the life cycle of a node. Standard library only."""
