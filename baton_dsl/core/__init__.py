"""The pure heart: specs, the graph, the rules and the life of a node. Standard library only."""
