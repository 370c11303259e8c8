"""Names of the nodes of maps: `orders` is the map, `orders[3]` an item of it, `orders[3,1]` an item two levels deep."""

from __future__ import annotations


def step_of(node: str) -> str:
    """The name of the step of a node.

    Examples:
        >>> step_of("orders[3]"), step_of("orders")
        ('orders', 'orders')
    """
    return node.rpartition("[")[0] if node.endswith("]") else node


def index_of(node: str) -> tuple[int, ...] | None:
    """The index of an item in its map; None for a node that is not an item.

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


def labelled(node: str, model: str | None) -> str:
    """The name of a node for people: for an item of a step of several models, the model is added.

    Example:
        >>> labelled("assess[0]", "anthropic:a"), labelled("assess", "anthropic:a"), labelled("orders[3]", None)
        ('assess[0] (anthropic:a)', 'assess', 'orders[3]')
    """
    return node if model is None or not node.endswith("]") else f"{node} ({model})"
