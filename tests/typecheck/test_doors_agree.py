"""Random programs get one verdict from every check; only "unknown" may differ.

mypy knows each type exactly, so what live functions and source text are certain of must be what mypy says of an edge.
What can be stored is pydantic's to say, and so the live functions'. What types have no part in is equal at all doors.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from baton_lint.session import Session
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import integers
from mypy_projects import Prepared, Project
from mypy_projects import findings as lines_of
from pydantic import PydanticSchemaGenerationError

from baton_dsl import Flow
from baton_dsl.core import maps
from baton_dsl.core.check import check
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules import CATALOGUE
from baton_dsl.core.spec import MISSING, UNKNOWN, FlowSpec, ParameterSpec, StepSpec, Types
from baton_dsl.reflect import LIVE_TYPES
from tests.doors.random_programs import PACKAGE, programs
from tests.lint.support import run

CODES = {rule.slug: code for code, rule in CATALOGUE.items()}
EQUAL = frozenset({"BTN101", "BTN102", "BTN103", "BTN105", "BTN204", "BTN301", "BTN304", "BTN305", "BTN306"})
"""Rules that types have no part in."""
STORED = frozenset({"BTN203"})
GIVEN = frozenset({"BTN303"})
"""Of arguments, only their types may be unknown to a door."""
ABSENT = frozenset({"BTN202"})
INPUT = re.compile(r'input "(\w+)"')
TYPED = re.compile(r': input "(\w+)"$')
CLASHING = frozenset({"BTN206"})
LINE = re.compile(r"(?P<line>\d+):(?P<column>\d+): error: (?P<message>.*)  \[(?P<slug>[\w-]+)\]")
EDGE = re.compile(r'parameter "(\w+)" of step "(\w+)"')

type Program = dict[str, str]
"""The files of a program."""
type Found = tuple[str, int, int, str, str]
"""A file, a line, a column, a code and a message."""
type Edge = tuple[str, str]
"""A step and a parameter."""


@dataclass
class Told:
    """The verdict of one check on a program.

    Attributes:
        found: Every finding.
        edges: What it says of each edge: True and False are certain.
        roomy: The edges whose parameter certainly takes None.
    """

    found: set[Found] = field(default_factory=set)
    edges: dict[Edge, bool | None] = field(default_factory=dict)
    roomy: set[Edge] = field(default_factory=set)

    def of(self, codes: frozenset[str]) -> set[Found]:
        """The findings of some rules."""
        return {found for found in self.found if found[3] in codes}

    def words(self, codes: frozenset[str]) -> set[str]:
        """What the findings of some rules say, wherever they lie."""
        return {f"{code}: {message}" for *_, code, message in self.of(codes)}


def of_spec(spec: FlowSpec, types: Types, findings: Sequence[Diagnostic], root: Path) -> Told:
    told = Told()
    for finding in findings:
        place = finding.place
        assert place is not None, finding
        path = Path(place.path)
        shown = str(path.relative_to(root)) if path.is_absolute() else str(path)
        told.found.add((shown, place.line, place.column, finding.code, finding.message))
    steps = {step.name: step for step in reversed(spec.steps)}
    for step in steps.values():
        for parameter in step.parameters:
            upstream = steps.get(parameter.source or "")
            if upstream is None or upstream is step or not parameter.is_upstream:
                continue
            told.edges[step.name, parameter.name] = verdict(types, parameter, upstream)
            if not maps.Edge.of(parameter, upstream).lists and types.accepts_none(parameter.type):
                told.roomy.add((step.name, parameter.name))
    return told


def verdict(types: Types, parameter: ParameterSpec, upstream: StepSpec) -> bool | None:
    """The verdict of which a check is certain: does the upstream's result fit the parameter?"""
    offered = maps.offer(types, parameter, upstream)
    if isinstance(offered, maps.Stuck):
        return False
    if parameter.type in (MISSING, UNKNOWN) or offered in (MISSING, UNKNOWN):
        return None
    forms = maps.forms(types, parameter, upstream)
    answers = [types.assignable(maps.offer(types, parameter, upstream, form), parameter.type) for form in forms]
    return False if not forms else True if True in answers else None


def by_life(folder: Path, package: str) -> Told | None:
    """What live functions say; None for a program that Python or pydantic refuses."""
    sys.path.insert(0, str(folder))
    try:
        flow: Flow = importlib.import_module(f"{package}.flow").the_flow
        return of_spec(flow.spec(), LIVE_TYPES, flow.diagnostics(), folder)
    except (PydanticSchemaGenerationError, RecursionError):  # pydantic has something against a class
        return None
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]


def by_text(folder: Path, package: str) -> Told:
    """What source text says."""
    found, _ = Session([str(folder / package)], str(folder)).importable()
    first, last = found.flows[0][0], found.flows[-1][0]  # as it is made, and with the options that it is given last
    told = of_spec(last, found.types, check(last, found.types).findings, folder)
    if first is not last:
        told.found |= of_spec(first, found.types, check(first, found.types).findings, folder).of(GIVEN)
    return told


def by_mypy(lines: dict[str, list[str]], package: str, edges: set[Edge]) -> Told | None:
    """What mypy says; None for a program with which it has other troubles."""
    told = Told(edges=dict.fromkeys(edges, True))
    for file, said in lines.items():
        if not file.startswith(f"{package}/"):
            continue
        for line in said:
            match = LINE.fullmatch(line)
            if match is None:
                continue
            code = CODES.get(match["slug"])
            assert not match["slug"].startswith("baton") or code is not None, line
            if code is None:
                return None
            told.found.add((file, int(match["line"]), int(match["column"]), code, match["message"]))
            edge = EDGE.match(match["message"])
            if code in ("BTN201", "BTN205") and edge:
                told.edges[edge[2], edge[1]] = False
    return told


def subject(words: str) -> str:
    """What a finding is about, without the types: live functions see through a `NewType` of an input."""
    return re.split(" is | returns | must be ", words)[0]


def disagreements(live: Told, text: Told, mypy: Told) -> Iterator[str]:
    for found in text.of(EQUAL) ^ live.of(EQUAL):
        yield f"{found}: {'text' if found in text.found else 'live'} alone"
    for words in mypy.words(EQUAL) ^ live.words(EQUAL):  # of another module, mypy tells where it is taken
        yield f"{words}: {'mypy' if words in mypy.words(EQUAL) else 'live'} alone"
    for name, door in (("text", text), ("mypy", mypy)):
        for what in {*map(subject, door.words(STORED))} - {*map(subject, live.words(STORED))}:
            yield f"{what} can't be stored: {name}, but not live"
    conflicts = live.words(CLASHING) | text.words(CLASHING) | mypy.words(CLASHING)
    clashing = {match[1] for words in conflicts if (match := INPUT.search(words))}
    told = {name: {*map(subject, door.words(GIVEN))} for name, door in (("live", live), ("text", text), ("mypy", mypy))}
    for name in ("live", "text"):
        for words in told[name] - told["mypy"]:
            if (match := TYPED.search(words)) and match[1] in clashing:
                continue  # no value has both types: mypy has told that, and tells nothing of the values
            yield f"{words}: {name}, but not mypy"
    for words in {words for words in told["mypy"] if not TYPED.search(words)} - told["text"]:
        yield f"{words}: mypy, but not text"
    for name, door in (("live", live), ("text", text)):
        for edge in absent(door) - absent(mypy):
            yield f"{edge} has no room for what is absent: {name}, but not mypy"
        for edge in absent(mypy) & door.roomy:
            yield f"{edge} has room for what is absent: {name}, but not mypy"
        for edge, certain in door.edges.items():
            if certain is not None and certain is not mypy.edges[edge]:
                yield f"{edge}: {name} {certain}, mypy {mypy.edges[edge]}"


def absent(door: Told) -> set[Edge]:
    """The edges whose parameter has no room for an upstream, or an item of one, without a result."""
    return {(match[2], match[1]) for words in door.words(ABSENT) if (match := EDGE.search(words))}


class Judge:
    """Judges many programs in one run of mypy.

    Attributes:
        folder: Where the programs of the last run lie, a package each.
        refuted: The edges of the last run that mypy refuses, each with its package.
        compared: The packages of the last run whose edges were compared.
        judged: How many programs were judged.
        refused: How many of these Python, pydantic or mypy refuse for another reason.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._runs = 0
        self.folder = project.folder
        self.refuted: set[tuple[str, str, str]] = set()
        self.compared: set[str] = set()
        self.judged = self.refused = 0

    def write(self, drawn: Sequence[Program]) -> list[str]:
        """Write programs, each as a package of its own; gives their names."""
        self._runs += 1
        self.folder = self._project.folder / f"run_{self._runs}"
        packages = [f"package_{self._runs}_{number}" for number in range(len(drawn))]
        for package, program in zip(packages, drawn, strict=True):
            for name, text in program.items():
                path = self.folder / name.replace(PACKAGE, package)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text.replace(PACKAGE, package), encoding="utf-8")
        return packages

    def disagreements(self, drawn: Sequence[Program]) -> dict[int, list[str]]:
        """How the doors disagree on programs, by their number."""
        packages = self.write(drawn)
        said = self._project.check_only(sorted(map(str, self.folder.rglob("*.py"))))
        lines = lines_of(said.replace(f"{self.folder}/", ""))
        found: dict[int, list[str]] = {}
        self.refuted, self.compared = set(), set()
        for number, package in enumerate(packages):
            self.judged += 1
            live, text = by_life(self.folder, package), by_text(self.folder, package)
            mypy = by_mypy(lines, package, {*(live.edges if live else ()), *text.edges})
            if live is None or mypy is None:
                self.refused += 1
                continue
            self.compared.add(package)
            self.refuted |= {(package, *edge) for edge in text.edges if not mypy.edges[edge]}
            if told := [*disagreements(live, text, mypy)]:
                found[number] = told
        return found


def seeds(number: int) -> list[int]:
    """Seeds that Hypothesis draws: others in each run, unless `--hypothesis-seed` says which."""
    drawn: list[int] = []

    @settings(QUICK, max_examples=number + 1, phases=[Phase.generate])
    @given(integers(0, 2**32 - 1))
    def draw(seeded: int) -> None:
        drawn.append(seeded)

    draw()
    return drawn[1:]  # the first one is always the simplest


def drawn_with(number: int, *, seeded: int) -> list[Program]:
    """Random programs, the same for the same seed."""
    drawn: list[Program] = []

    @seed(seeded)
    @settings(QUICK, max_examples=number, phases=[Phase.generate])
    @given(programs())
    def draw(program: Program) -> None:
        drawn.append(program)

    draw()
    return drawn


def assert_agreement(judge: Judge, number: int, seeded: int) -> None:
    """All doors agree on random programs; if they don't, the smallest program that Hypothesis can find is shown.

    Many programs are judged in one run of mypy. Only one on which the doors disagree is drawn again and shrunk, by
    itself.
    """
    drawn = drawn_with(number, seeded=seeded)
    found = judge.disagreements(drawn)
    assert judge.refused < judge.judged / 2
    if not found:
        return
    first = drawn[min(found)]
    is_found = False

    @seed(seeded)
    @settings(QUICK, max_examples=number, phases=[Phase.generate, Phase.shrink])
    @given(programs())
    def shrink(program: Program) -> None:
        nonlocal is_found
        is_found = is_found or program == first
        told = judge.disagreements([program]) if is_found else {}
        shown = "\n".join(f"# file: {name}\n{text}" for name, text in program.items() if text)
        assert not told, "\n".join([f"seed {seeded}", *told[0], shown])

    shrink()


QUICK = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> Judge:
    """A judge with a cache of mypy that knows the libraries."""
    return Judge(prepared.project(tmp_path_factory.mktemp("programs")))


def test_all_doors_agree_on_random_programs(judge: Judge) -> None:
    assert_agreement(judge, 50, seeded=1)


@pytest.mark.slow
def test_all_doors_agree_on_many_random_programs(judge: Judge) -> None:
    for seeded in seeds(20):
        assert_agreement(judge, 200, seeded=seeded)


@pytest.mark.typecheckers
@pytest.mark.parametrize("checker", ["pyright", "ty", "pyrefly"])
def test_a_plain_checker_refutes_the_edges_that_mypy_refutes(checker: str, judge: Judge) -> None:
    assert not judge.disagreements(drawn_with(60, seeded=2))
    (judge.folder / "pyproject.toml").write_text("", encoding="utf-8")
    outcome = run(judge.folder, "types", "--select", "BTN201,BTN205", "--checker", checker)
    assert outcome.errors.endswith(f" edges, asked of {checker}\n")
    refuted: set[tuple[str, str, str]] = set()
    for line in outcome.lines:
        place, _, message = line.split(": ", 2)
        edge = EDGE.match(message)
        assert edge is not None, line
        if (package := place.partition("/")[0]) in judge.compared:
            refuted.add((package, edge[2], edge[1]))
    assert refuted <= judge.refuted
    # ty takes a recursive alias by assignment, and the items of `tuple[Any, int]`, for unknown
    assert len(judge.refuted - refuted) <= len(judge.refuted) / 10
