"""Draw a flow for a terminal: one line for each step, with its edges as rails on the left.

    ●      fetch_token
    ├─●    regions
    ├─│─●  customers
    ●─┴─╯  orders
    ●      report

A rail leaves a step downwards and ends at the last step that waits for it. A step waits for the rail that it stands on,
and for those that meet its line in a tee or a corner (`├ ┼ ┤ ╰ ┴ ╯`). A rail that is only crossed stays whole (`│`). So
the drawing shows every edge and no other. Lines are ordered by layer: steps that could run at the same time are
adjacent. A mapped step has brackets behind its name, a pair for each level: `orders[]`. Each step adds a line, and each
pending edge a rail, so there is room for long names, states and remarks. The usual drawing, boxes in layers, gets wider
than a terminal after five steps.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from baton_dsl.core.graph import Graph
from baton_dsl.core.spec import FlowSpec, StepSpec
from baton_dsl.core.wording import printable

MOST_LINES: Final = 40
"""The most lines of a drawing; a longer one is not seen at a glance."""
LONGEST_LABEL: Final = 40
ROOM_FOR_LABELS: Final = 28
"""The least number of columns that the rails leave free for labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strokes:
    """The characters of a drawing, each one column wide.

    Attributes:
        rail: A rail that passes.
        line: The horizontal line from the rails to the step.
        meet_left, meet_through, meet_right: A rail that continues, where the line meets it: at the line's left end, in
            between, at its right end.
        end_left, end_through, end_right: The same for a rail that ends here.
        step: A step without a state.
        states: A step in each of Oban's states, and a skipped step.
        ellipsis: Replaces text that is cut.
    """

    rail: str
    line: str
    meet_left: str
    meet_through: str
    meet_right: str
    end_left: str
    end_through: str
    end_right: str
    step: str
    states: Mapping[str, str]
    ellipsis: str


UNICODE: Final = Strokes(
    rail="│",
    line="─",
    meet_left="├",
    meet_through="┼",
    meet_right="┤",
    end_left="╰",
    end_through="┴",
    end_right="╯",
    step="●",
    states={
        "suspended": "○",
        "scheduled": "◷",
        "available": "◎",
        "executing": "▶",
        "retryable": "↻",
        "completed": "✔",
        "cancelled": "⊘",
        "discarded": "✘",
        "skipped": "↷",
    },
    ellipsis="…",
)
ASCII: Final = Strokes(
    rail="|",
    line="-",
    meet_left="+",
    meet_through="+",
    meet_right="+",
    end_left="`",
    end_through="^",
    end_right="'",
    step="*",
    states={
        "suspended": "o",
        "scheduled": "s",
        "available": "a",
        "executing": ">",
        "retryable": "r",
        "completed": "*",
        "cancelled": "c",
        "discarded": "x",
        "skipped": "k",
    },
    ellipsis="...",
)

MOST_TELLING: Final = (
    *("discarded", "cancelled", "retryable", "executing", "available", "scheduled", "suspended", "skipped"),
    "completed",
)
"""The states by importance: a line of several steps shows the first of these that one of its steps is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a drawing.

    Attributes:
        rails: The part on the left, as wide as in every other line.
        at: The column of the step's own character in `rails`; None for a step on or behind a cycle, which has no rails.
        label: The step's name, made printable, or a label for several steps.
        steps: The steps that share the line.
        state: Their state; None if it is not known.
        remark: The text behind the label.
    """

    rails: str
    at: int | None
    label: str
    steps: tuple[str, ...]
    state: str | None
    remark: str


@dataclass(frozen=True, slots=True)
class _Row:
    """Steps that share a line, before states are known. `cells` has `None` where their own character goes."""

    steps: tuple[str, ...]
    cells: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """The layout of a flow, which can be drawn repeatedly with different states.

    Examples:
        >>> from baton_dsl.core.spec import FlowSpec, ParameterSpec, Role, StepSpec
        >>> def step(name, *upstreams):
        ...     parameters = (ParameterSpec(name=it, role=Role.UPSTREAM, source=it) for it in upstreams)
        ...     return StepSpec(name=name, parameters=tuple(parameters))
        >>> flow = FlowSpec(name="f", steps=(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")))
        >>> print(Drawing.of(flow).text())
        ●    a
        ├─●  b
        ● │  c
        ●─╯  d
    """

    rows: tuple[_Row, ...]
    strokes: Strokes
    marks: Mapping[str, str]
    """The marks behind the names of mapped steps."""

    @staticmethod
    def of(flow: FlowSpec, *, width: int = 100, height: int = MOST_LINES, strokes: Strokes = UNICODE) -> Drawing:
        """Lay out a flow.

        Args:
            flow: The flow; it may be wrong. Steps on a cycle, and steps that wait for them, come last and have no
                rails.
            width: The columns of the terminal. If the rails don't fit, more steps share a line.
            height: A flow with more steps than this is folded: steps with similar neighbours in the graph share a line.
            strokes: `UNICODE` or `ASCII`.
        """
        graph = Graph.of(flow)
        layers = graph.layers()
        most = max(height, 2)
        while True:
            rows = _laid_out(graph, _folded(graph, layers, most), strokes)
            if most == 2 or max((len(row.cells) for row in rows), default=0) <= max(width - ROOM_FOR_LABELS, 8):
                break
            most = max(2, min(most, len(rows)) * 2 // 3)
        placed = {name for layer in layers for name in layer}
        on_cycles = tuple(_Row((name,), ()) for name in graph.steps if name not in placed)
        marks = {step.name: mark for step in graph.steps.values() if (mark := mark_of(step))}
        return Drawing((*rows, *on_cycles), strokes, marks)

    def lines(self, states: Mapping[str, str] | None = None, remarks: Mapping[str, str] | None = None) -> list[Line]:
        """The drawing as lines.

        Args:
            states: Oban's state of each step, where it is known.
            remarks: The text behind a step. For steps that share a line, the number of steps in each state is shown
                instead.
        """
        states, remarks = states or {}, remarks or {}
        wide = max((len(row.cells) for row in self.rows), default=0)
        return [self._line(row, wide, states, remarks) for row in self.rows]

    def _line(self, row: _Row, wide: int, states: Mapping[str, str], remarks: Mapping[str, str]) -> Line:
        found = [states[name] for name in row.steps if name in states]
        state = min(found, key=_rank, default=None)
        glyph = self.strokes.step if state is None else self.strokes.states.get(state, self.strokes.step)
        rails = "".join(glyph if cell is None else cell for cell in row.cells)
        remark = remarks.get(row.steps[0], "") if len(row.steps) == 1 else _counted(found)
        return Line(
            rails=rails.ljust(wide),
            at=row.cells.index(None) if row.cells else None,
            label=self._label(row),
            steps=row.steps,
            state=state,
            remark=remark if row.cells else " ".join(filter(None, ("(on or behind a cycle)", remark))),
        )

    def _label(self, row: _Row) -> str:
        ellipsis = self.strokes.ellipsis
        first, last = (
            cut(printable(name), LONGEST_LABEL, ellipsis) + self.marks.get(name, "")
            for name in (row.steps[0], row.steps[-1])
        )
        return first if len(row.steps) == 1 else f"{len(row.steps):,} steps: {first} {ellipsis} {last}"

    def text(self, states: Mapping[str, str] | None = None, remarks: Mapping[str, str] | None = None) -> str:
        """The drawing as text, without blanks at the ends of lines."""
        lines = self.lines(states, remarks)
        labels = max((columns(line.label) for line in lines if line.remark), default=0)
        return "\n".join(
            f"{line.rails}  {line.label}{' ' * (labels - columns(line.label))}  {line.remark}".rstrip()
            for line in lines
        )


def mark_of(step: StepSpec) -> str:
    """The mark of a mapped step: a pair of brackets for each level, as for an array, or the names of its models."""
    if not step.is_per_model:
        return "[]" * step.levels
    models = cast("Sequence[object]", step.options["models"].value)
    named = ", ".join(printable(model) if isinstance(model, str) else "?" for model in models)  # some may be unknown
    return f"{{{named if len(named) <= LONGEST_LABEL else f'{len(models)} models'}}}"


def _rank(state: str) -> int:
    return MOST_TELLING.index(state) if state in MOST_TELLING else len(MOST_TELLING)


def _counted(states: Sequence[str]) -> str:
    return ", ".join(f"{states.count(state):,} {state}" for state in sorted(set(states), key=_rank))


# --- folding -----------------------------------------------------------------------------------------------------


def _folded(graph: Graph, layers: list[list[str]], most: int) -> list[tuple[str, ...]]:
    """Group the steps into at most `most` groups, in the order of the layers; one group per step if they are few.

    This is colour refinement: at first, all steps of a layer have one colour; then steps get different colours if
    their neighbours have, and so on, while there are few enough colours. (In a flow of very many layers, several layers
    begin with one colour.) Edges lead from lower colours to higher ones, so the folded graph has no cycle.
    """
    order = [name for layer in layers for name in layer]
    if len(order) <= most:
        return [(name,) for name in order]
    depth = {name: index for index, layer in enumerate(layers) for name in layer}
    bands = min(len(layers), most)
    colour = {name: depth[name] * bands // len(layers) for name in order}
    downstreams = graph.downstreams()
    while True:
        numbers: dict[tuple[int, frozenset[int], frozenset[int]], int] = {}
        refined: dict[str, int] = {}
        for name in order:
            upward = frozenset(colour[up] for up in graph.upstreams(name) if up in colour)
            downward = frozenset(colour[down] for down in downstreams[name] if down in colour)
            refined[name] = numbers.setdefault((colour[name], upward, downward), len(numbers))
        if len(numbers) > most or len(numbers) == len(set(colour.values())):
            break
        colour = refined
    groups: dict[int, list[str]] = {}
    for name in order:
        groups.setdefault(colour[name], []).append(name)
    return [tuple(group) for group in groups.values()]


# --- rails -------------------------------------------------------------------------------------------------------


def _laid_out(graph: Graph, groups: list[tuple[str, ...]], strokes: Strokes) -> list[_Row]:
    group_of = {name: index for index, group in enumerate(groups) for name in group}
    upstreams: list[set[int]] = [set() for _ in groups]
    for name, index in group_of.items():
        upstreams[index].update(group_of[up] for up in graph.upstreams(name) if group_of[up] != index)
    pending = [0] * len(groups)
    for sources in upstreams:
        for source in sources:
            pending[source] += 1
    rails = _Rails(pending)
    return [_Row(group, tuple(rails.pass_by(index, upstreams[index], strokes))) for index, group in enumerate(groups)]


class _Rails:
    """The rails while the lines are drawn from top to bottom: which group's rail is in which lane."""

    def __init__(self, pending: Sequence[int]) -> None:
        self.pending = list(pending)
        """How many steps still wait for each group."""
        self.owner: dict[int, int] = {}
        """The group whose rail runs in a lane."""
        self.just_left: set[int] = set()
        """Lanes that ended in the line above. A new rail there would look connected to the old one."""

    def pass_by(self, group: int, upstreams: Iterable[int], strokes: Strokes) -> list[str | None]:
        """Draw the line of a group, and update the rails for the next line."""
        sources = set(upstreams)
        met = {lane for lane, owner in self.owner.items() if owner in sources}
        for lane in met:
            self.pending[self.owner[lane]] -= 1
        ending = {lane for lane in met if self.pending[self.owner[lane]] == 0}
        own = min(ending) if ending else self._free()
        cells = self._cells(own, met, ending, strokes)
        self.just_left = ending | {own}
        for lane in ending:
            del self.owner[lane]
        if self.pending[group]:
            self.owner[own] = group
            self.just_left.discard(own)
        return cells

    def _free(self) -> int:
        taken = self.owner.keys() | self.just_left
        return next(lane for lane in range(len(taken) + 1) if lane not in taken)

    def _cells(self, own: int, met: set[int], ending: set[int], strokes: Strokes) -> list[str | None]:
        left, right = min({own, *met}), max({own, *met})
        cells: list[str | None] = []
        for lane in range(max({right, *self.owner}) + 1):
            within = left <= lane <= right
            if lane == own:
                cells.append(None)
            elif lane in met:
                cells.append(_junction(lane, left, right, ends=lane in ending, strokes=strokes))
            elif lane in self.owner:
                cells.append(strokes.rail)
            else:
                cells.append(strokes.line if within else " ")
            cells.append(strokes.line if left <= lane < right else " ")
        return cells[:-1]


def _junction(lane: int, left: int, right: int, *, ends: bool, strokes: Strokes) -> str:
    if lane == left:
        return strokes.end_left if ends else strokes.meet_left
    if lane == right:
        return strokes.end_right if ends else strokes.meet_right
    return strokes.end_through if ends else strokes.meet_through


# --- names on a terminal -----------------------------------------------------------------------------------------


def columns(text: str) -> int:
    """The columns that a printable text takes."""
    return sum(0 if unicodedata.combining(it) else 2 if unicodedata.east_asian_width(it) in "WF" else 1 for it in text)


def cut(text: str, most: int, ellipsis: str) -> str:
    """Cut a text to a width. The middle is left out, because names often differ at their ends."""
    if columns(text) <= most:
        return text
    room = most - columns(ellipsis)
    head, tail = text, text
    while columns(head) > room - room // 2:
        head = head[:-1]
    while columns(tail) > room // 2:
        tail = tail[1:]
    return f"{head}{ellipsis}{tail}"
