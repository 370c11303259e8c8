"""Lay out a graph in layers from left to right, on the server. The same graph always gets the same layout.

A layout in the browser would need a library, jump after each update, and need a browser to be tested. This one is a
function: each box is one layer after the last box that it waits for. The boxes of a layer are ordered by the positions
of their neighbours (Sugiyama's barycentres), and then moved towards them as far as the order and the distances allow.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 188
HEIGHT: Final = 44
"""The height of a box, in pixels at 100 %."""
BETWEEN_LAYERS: Final = 56
BETWEEN_BOXES: Final = 16
BETWEEN_LINES: Final = 14
SWEEPS: Final = 4
MOST_BENDS: Final = 20_000
"""The most points at which lines pass a layer. In a graph with more, long lines are drawn straight."""


@dataclass(frozen=True, slots=True)
class Box:
    """The position of a node: its upper left corner, in pixels."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Line[K: Hashable]:
    """An edge as a curve: its points, from the right side of one box to the left side of another."""

    source: K
    target: K
    points: tuple[tuple[float, float], ...]

    @property
    def path(self) -> str:
        """The curve as an SVG path."""
        (x, y), *rest = self.points
        said = [f"M{x:g} {y:g}"]
        for next_x, next_y in rest:
            middle = (x + next_x) / 2
            said.append(f"C{middle:g} {y:g} {middle:g} {next_y:g} {next_x:g} {next_y:g}")
            x, y = next_x, next_y
        return "".join(said)


@dataclass(frozen=True, slots=True)
class Layout[K: Hashable]:
    """A layout.

    Attributes:
        boxes: The position of each node.
        lines: The edges.
        width: The total width, in pixels.
        height: The total height, in pixels.
    """

    boxes: Mapping[K, Box]
    lines: Sequence[Line[K]]
    width: float
    height: float


def layers_of[K: Hashable](upstreams: Mapping[K, Sequence[K]]) -> dict[K, int]:
    """The layer of each node: 0 for a node without upstreams, otherwise one more than that of its last upstream.

    Args:
        upstreams: The upstreams of each node. Unknown nodes are ignored; nodes on a cycle are in layer 0.

    Example:
        >>> layers_of({"a": [], "b": ["a"], "c": ["a", "b"]})
        {'a': 0, 'b': 1, 'c': 2}
    """
    downstreams: dict[K, list[K]] = {node: [] for node in upstreams}
    waiting: dict[K, int] = {}
    for node, above in upstreams.items():
        known = [upstream for upstream in dict.fromkeys(above) if upstream in downstreams and upstream != node]
        waiting[node] = len(known)
        for upstream in known:
            downstreams[upstream].append(node)
    layer = dict.fromkeys(upstreams, 0)
    ready = deque(node for node, count in waiting.items() if not count)
    while ready:
        node = ready.popleft()
        for below in downstreams[node]:
            layer[below] = max(layer[below], layer[node] + 1)
            waiting[below] -= 1
            if not waiting[below]:
                ready.append(below)
    return layer


def layered[K: Hashable](upstreams: Mapping[K, Sequence[K]]) -> Layout[K]:
    """Lay out a graph.

    Args:
        upstreams: The upstreams of each node, in an order that stays the same between updates.
    """
    if not upstreams:
        return Layout({}, (), 0, 0)
    drawing = _Drawing(upstreams)
    drawing.order()
    drawing.place()
    return drawing.layout()


type _Place = tuple[int, int]
"""A layer, and the number of a node or a bend in it."""


class _Drawing[K: Hashable]:
    """Represents nodes and bends as small integers, which is fast enough for a thousand of them in each request."""

    def __init__(self, upstreams: Mapping[K, Sequence[K]]) -> None:
        self.keys = list(upstreams)
        number = {key: place for place, key in enumerate(self.keys)}
        layer = layers_of(upstreams)
        self.layer = [layer[key] for key in self.keys]
        self.edges = [
            (number[upstream], number[key])
            for key, above in upstreams.items()
            for upstream in dict.fromkeys(above)
            if upstream in number and layer[upstream] < layer[key]
        ]
        self.bends: dict[tuple[int, int], int] = {}  # by node and by the layer that its lines pass: they share the bend
        if sum(self.layer[low] - self.layer[high] - 1 for high, low in self.edges) <= MOST_BENDS:
            self._bend()
        count = len(self.layer)
        self.above: list[list[int]] = [[] for _ in range(count)]
        self.below: list[list[int]] = [[] for _ in range(count)]
        linked = set()
        for high, low in self.edges:
            way = self.way(high, low)
            for left, right in itertools.pairwise(way):
                if (left, right) not in linked:
                    linked.add((left, right))
                    self.below[left].append(right)
                    self.above[right].append(left)
        self.rows: list[list[int]] = [[] for _ in range(max(self.layer) + 1)]
        for node, layer_of in enumerate(self.layer):
            self.rows[layer_of].append(node)
        self.y = [0.0] * count

    def _bend(self) -> None:
        for high, low in self.edges:
            for passed in range(self.layer[high] + 1, self.layer[low]):
                if (high, passed) not in self.bends:
                    self.bends[high, passed] = len(self.layer)
                    self.layer.append(passed)

    def way(self, high: int, low: int) -> list[int]:
        """The nodes and bends of an edge."""
        passed = range(self.layer[high] + 1, self.layer[low])
        return [high, *(self.bends[high, layer] for layer in passed if (high, layer) in self.bends), low]

    def order(self) -> None:
        """Order each layer by the mean position of its neighbours, several times in both directions."""
        place = [0.0] * len(self.layer)
        for row in self.rows:
            for position, node in enumerate(row):
                place[node] = position
        for sweep in range(SWEEPS):
            rows, neighbours = (self.rows, self.above) if sweep % 2 == 0 else (self.rows[::-1], self.below)
            for row in rows:
                wanted = {
                    node: sum(place[other] for other in near) / len(near) if (near := neighbours[node]) else place[node]
                    for node in row
                }
                row.sort(key=wanted.__getitem__)
                scale = max(len(row) - 1, 1)
                for position, node in enumerate(row):
                    place[node] = position * len(self.keys) / scale if len(row) > 1 else len(self.keys) / 2

    def place(self) -> None:
        """Move each node towards its neighbours, but keep the order and the distances."""
        for row in self.rows:
            self._spread(row, [0.0] * len(row))
        sweeps = (self.above, self.below, self.above, self.below)
        for neighbours in sweeps:
            for row in self.rows if neighbours is self.above else self.rows[::-1]:
                wanted = [
                    sum(self.y[other] for other in near) / len(near) if (near := neighbours[node]) else self.y[node]
                    for node in row
                ]
                self._spread(row, wanted)
        top = min(self.y[node] - self._height(node) / 2 for node in range(len(self.y)))
        self.y = [y - top for y in self.y]

    def _height(self, node: int) -> float:
        return HEIGHT if node < len(self.keys) else 0

    def _spread(self, row: Sequence[int], wanted: Sequence[float]) -> None:
        """Positions as near to the wanted ones as order and distances allow: least squares, by pooling violators."""
        offset, offsets = 0.0, []
        for position, node in enumerate(row):
            if position:
                before = row[position - 1]
                are_boxes = node < len(self.keys) or before < len(self.keys)
                gap = BETWEEN_BOXES if are_boxes else BETWEEN_LINES
                offset += (self._height(before) + self._height(node)) / 2 + gap
            offsets.append(offset)
        blocks: list[tuple[float, int]] = []  # the sum of the wanted positions, and the number of members
        for want, shift in zip(wanted, offsets, strict=True):
            total, size = want - shift, 1
            while blocks and blocks[-1][0] / blocks[-1][1] >= total / size:
                other, more = blocks.pop()
                total, size = total + other, size + more
            blocks.append((total, size))
        position = 0
        for total, size in blocks:
            for _ in range(size):
                self.y[row[position]] = total / size + offsets[position]
                position += 1

    def layout(self) -> Layout[K]:
        """The layout in pixels."""
        step = WIDTH + BETWEEN_LAYERS
        boxes = {
            key: Box(round(self.layer[node] * step, 1), round(self.y[node] - HEIGHT / 2, 1))
            for node, key in enumerate(self.keys)
        }
        lines = [
            Line(self.keys[high], self.keys[low], tuple(self._points(self.way(high, low), step)))
            for high, low in self.edges
        ]
        width = max(self.layer) * step + WIDTH
        height = max(self.y[node] + self._height(node) / 2 for node in range(len(self.y)))
        return Layout(boxes, lines, width, round(height, 1))

    def _points(self, way: Sequence[int], step: float) -> list[tuple[float, float]]:
        first, *bends, last = way
        points = [(self.layer[first] * step + WIDTH, round(self.y[first], 1))]
        for bend in bends:  # straight through the layer that it passes, so that it crosses no box
            left, y = self.layer[bend] * step, round(self.y[bend], 1)
            points += [(left, y), (left + WIDTH, y)]
        return [*points, (self.layer[last] * step, round(self.y[last], 1))]
