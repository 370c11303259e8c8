"""The names of the nodes of maps: `orders` is the map, `orders[3]` an item of it, `orders[3,1]` one two levels deep."""

from __future__ import annotations


def step_of(node: str) -> str:
    """The name of the step of a node.

    Examples:
        >>> step_of("orders[3]"), step_of("orders")
        ('orders', 'orders')
    """
    return node.rpartition("[")[0] if node.endswith("]") else node


def index_of(node: str) -> tuple[int, ...] | None:
    """Which item of its map a node is; None for a node that is no item.

    Examples:
        >>> index_of("orders[3,1]"), index_of("orders")
        ((3, 1), None)
    """
    return tuple(map(int, node[:-1].rpartition("[")[2].split(","))) if node.endswith("]") else None


def item_of(step: str, index: tuple[int, ...]) -> str:
    """The name of the node of an item.

    Examples:
        >>> item_of("orders", (3, 1))
        'orders[3,1]'
    """
    return f"{step}[{','.join(map(str, index))}]"
