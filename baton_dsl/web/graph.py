"""The graph of a workflow: its steps, folded if they are too many, and its critical path."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from baton_dsl.core.drawing import UNICODE
from baton_dsl.core.wording import printable
from baton_dsl.web.layout import Box, Layout, layered, layers_of
from baton_dsl.web.reads import NodeView

READABLE: Final = 40
"""The most boxes of a picture before steps are folded."""
ALIKE: Final = 4
"""The least number of steps with one function in one layer that are folded into a box."""
MOST_KEPT: Final = 2_000
"""Boxes of a drawing that is kept for the next look, so that what is kept stays small."""
LETTERS: Final = 21
"""The most columns of a name in a box."""

STATES: Final = (
    "discarded",
    "cancelled",
    "retryable",
    "executing",
    "available",
    "scheduled",
    "suspended",
    "skipped",
    "gone",
    "completed",
)
"""The order of states: those that need attention come first."""

GLYPHS: Final = {
    **UNICODE.states,
    "gone": "?",
    "failed": "✘",
    "lost": "?",
    "running": "▶",
    "paused": "‖",
    "stopping": "■",
    "stuck": "!",
}


@dataclass(frozen=True, slots=True)
class Group:
    """A box of the graph: one step, or several that are folded.

    Attributes:
        key: The name of the step, or of the first one.
        title: The text in the box.
        steps: The names of its steps.
        counts: How many steps, or items of the map, are in each state.
        state: The state that the box shows: that of the step, or the one that needs most attention.
        is_map: Whether it is one step with items.
        is_critical: Whether the critical path goes through it.
        box: Its position.
    """

    key: str
    title: str
    steps: tuple[str, ...]
    counts: Mapping[str, int]
    state: str
    is_map: bool
    is_critical: bool
    box: Box

    @property
    def is_folded(self) -> bool:
        """Whether it contains several steps."""
        return len(self.steps) > 1

    @property
    def total(self) -> int:
        """The number of its steps or items."""
        return sum(self.counts.values())

    @property
    def counts_in_words(self) -> str:
        """The counts in words."""
        return counts_in_words(self.counts)

    @property
    def shares(self) -> Sequence[tuple[str, float, float]]:
        """For each state, where its part of the bar begins and how wide it is, in percent."""
        return shares(self.counts)

    @property
    def label(self) -> str:
        """The text for screen readers."""
        name = self.title  # exactly the visible text, for voice control
        if self.is_folded:
            name += f": {len(self.steps):,} steps, such as {self.key}"
        elif self.title.endswith("…"):
            name += f": {self.key}"
        critical = ", on the critical path" if self.is_critical else ""
        return f"{name}: {self.counts_in_words if self.total > 1 or self.is_map else self.state}{critical}"


@dataclass(frozen=True, slots=True)
class Edge:
    """A line of the graph."""

    path: str
    is_critical: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """A graph that can be drawn.

    Attributes:
        groups: Its boxes.
        edges: Its lines.
        width: In pixels at 100 %.
        height: In pixels.
        steps: How many steps the workflow has.
        is_folded: Whether a box stands for several steps.
    """

    groups: Sequence[Group]
    edges: Sequence[Edge]
    width: float
    height: float
    steps: int
    is_folded: bool


def counts_in_words(counts: Mapping[str, int]) -> str:
    """Counts in words, with states that need attention first.

    Example:
        >>> counts_in_words({"completed": 2, "discarded": 1})
        '1 discarded, 2 completed'
    """
    return ", ".join(f"{counts[state]:,} {state}" for state in _ordered(counts))


def shares(counts: Mapping[str, int]) -> Sequence[tuple[str, float, float]]:
    """For each state, where its part of a bar begins and how wide it is, in percent; completed ones come first.

    Example:
        >>> shares({"executing": 1, "completed": 3})
        [('completed', 0.0, 75.0), ('executing', 75.0, 25.0)]
    """
    total = sum(counts.values()) or 1
    parts, begin = [], 0.0
    for state in reversed(_ordered(counts)):
        share = 100 * counts[state] / total
        parts.append((state, round(begin, 3), round(share, 3)))
        begin += share
    return parts


def _ordered(counts: Mapping[str, int]) -> list[str]:
    known = [state for state in STATES if counts.get(state)]
    return [*(state for state in counts if state not in STATES and counts[state]), *known]


def critical_path(nodes: Sequence[NodeView]) -> list[str]:
    """The critical path: the steps that determine when the workflow ends, in order.

    It goes back from the step that settled last or, in a running workflow, from the active step that was ready first,
    each time to the upstream that settled last. Steps that never ran, because another one failed, are not on it.

    Args:
        nodes: The steps in topological order.
    """
    by_name = {node.step: node for node in nodes}
    begun = [node for node in nodes if not node.is_settled and (node.ready_at or node.began_at)]
    if begun:
        last = min(begun, key=lambda node: node.ready_at or node.began_at or _NEVER)
    else:
        ended = [node for node in nodes if node.settled_at and node.began_at]
        if not ended:
            return []
        last = max(ended, key=lambda node: node.settled_at or _NEVER)
    path = [last]
    while True:
        above = [by_name[name] for name in path[-1].upstreams if name in by_name and by_name[name].settled_at]
        if not above or len(path) > len(nodes):
            return [node.step for node in reversed(path)]
        path.append(max(above, key=lambda node: node.settled_at or _NEVER))


_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def draw(nodes: Sequence[NodeView], *, fold: bool = True) -> Picture:
    """The graph of a workflow.

    Args:
        nodes: Its steps in topological order.
        fold: Whether similar steps share a box if there are too many.
    """
    critical = critical_path(nodes)
    folded = _folded(nodes) if fold and len(nodes) > READABLE else {node.step: node.step for node in nodes}
    members: dict[str, list[NodeView]] = {}
    for node in nodes:
        members.setdefault(folded[node.step], []).append(node)
    upstreams = {
        key: tuple(
            dict.fromkeys(
                folded[name] for node in of_group for name in node.upstreams if name in folded and folded[name] != key
            )
        )
        for key, of_group in members.items()
    }
    structure = tuple(upstreams.items())
    layout, paths = (_kept if len(structure) <= MOST_KEPT else _laid_out)(structure)
    on_path = set(critical)
    links = {(folded[above], folded[below]) for above, below in itertools.pairwise(critical)}
    return Picture(
        groups=[_group(key, of_group, on_path, layout) for key, of_group in members.items()],
        edges=sorted(
            (Edge(path, (line.source, line.target) in links) for line, path in zip(layout.lines, paths, strict=True)),
            key=lambda edge: edge.is_critical,  # the last ones are drawn on top
        ),
        width=layout.width,
        height=layout.height,
        steps=len(nodes),
        is_folded=len(members) < len(nodes),
    )


def _laid_out(upstreams: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[Layout[str], Sequence[str]]:
    """Where boxes and lines stand, which depends on no state."""
    layout = layered(dict(upstreams))
    return layout, [line.path for line in layout.lines]


_kept: Final = lru_cache(maxsize=16)(_laid_out)
"""The same, kept: a live page asks for it every two seconds."""


def _folded(nodes: Sequence[NodeView]) -> dict[str, str]:
    """For each step, the step whose box it is in. Steps with one function in one layer share a box, then chains do."""
    upstreams = {node.step: node.upstreams for node in nodes}
    layer = layers_of(upstreams)
    alike: dict[tuple[int, str], list[str]] = {}
    for node in nodes:
        alike.setdefault((layer[node.step], node.function), []).append(node.step)
    folded = {node.step: node.step for node in nodes}
    for steps in alike.values():
        if len(steps) >= ALIKE:
            folded |= dict.fromkeys(steps, steps[0])
    if len(set(folded.values())) <= READABLE:
        return folded
    return _without_chains(folded, upstreams, layer)


def _without_chains(
    folded: dict[str, str], upstreams: Mapping[str, Iterable[str]], layer: Mapping[str, int]
) -> dict[str, str]:
    """Merge two boxes if the second waits only for the first, and nothing else waits for the first."""
    above: dict[str, set[str]] = {key: set() for key in folded.values()}
    below: dict[str, set[str]] = {key: set() for key in folded.values()}
    for step, names in upstreams.items():
        for name in names:
            if name in folded and folded[name] != folded[step]:
                above[folded[step]].add(folded[name])
                below[folded[name]].add(folded[step])
    first: dict[str, str] = {}
    for key in sorted(dict.fromkeys(folded.values()), key=layer.__getitem__):
        first[key] = key
        if len(above[key]) == 1:
            (upstream,) = above[key]
            if len(below[upstream]) == 1:
                first[key] = first.get(upstream, upstream)
    return {step: first[key] for step, key in folded.items()}


def _group(key: str, members: Sequence[NodeView], critical: set[str], layout: Layout[str]) -> Group:
    is_map = len(members) == 1 and members[0].is_map
    if len(members) > 1:
        counts = dict(Counter(node.state for node in members))
        state = _ordered(counts)[0]
    else:
        state = members[0].state
        counts = dict(members[0].items) or {state: 1}
    title = f"{key}[]" if is_map else key
    if len(members) > 1:
        title = f"{len(members):,} x {_function(members)}"
    return Group(
        key=key,
        title=shortened(title),
        steps=tuple(node.step for node in members),
        counts=counts,
        state=state,
        is_map=is_map,
        is_critical=any(node.step in critical for node in members),
        box=layout.boxes[key],
    )


def _function(members: Sequence[NodeView]) -> str:
    """The common name of several steps: their function, or the common beginning of their names."""
    functions = {node.function for node in members}
    if len(functions) == 1:
        name = next(iter(functions)).rpartition(":")[2].rpartition("/")[2].rpartition(".")[2]
        if name:
            return name
    return f"{members[0].step}…"


def shortened(text: str, columns: int = LETTERS) -> str:
    """Cut a text to a number of columns. Wide characters count twice.

    Example:
        >>> shortened("a_step_with_a_name_that_is_long"), shortened("短い名前", 5)
        ('a_step_with_a_name_t…', '短い…')
    """
    text = printable(text)
    if len(text) <= columns and text.isascii():
        return text
    room = columns
    for position, character in enumerate(text):
        room -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if room < 0 or (room == 0 and position + 1 < len(text)):
            return f"{text[:position]}…"
    return text
