"""Hypothesis strategies: whole programs of random flows, random types and random layouts of modules."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.doors.random_types import LITERALS, Annotation, Models, annotations, models, near, source, written

PACKAGE = "the_package"
"""What stands for the name of the package: every program of a run gets one of its own."""

OURS = ("Each", "Flow", "From", "Input", "Outcome", "Skip", "StepContext", "step")
IMPORTS = ("from", "renamed", "relative", "module", "module as", "of package", "of relative package", "star", "init")
"""How a module may import names of another module of the package."""
BATON = ("from", "renamed", "module", "module as", "dsl", "star")
"""How a module may import our names."""
PLACES = ("flow", "first", "sub.second")
"""Modules of steps."""
NAMES = ("alpha", "beta", "gamma", "delta", "alpah", "epsilon")
"""Names of steps; two of them are easily confused."""


@dataclass
class Writer:
    """Writes one module: knows how it calls what it imports.

    Attributes:
        path: The module below the package, such as `sub.first`.
        styles: How it imports from each other module; `baton_dsl` is one of them.
        is_lazy: True if its annotations are not evaluated when it is imported.
        checking: The modules of which it imports names for type checkers alone.
    """

    path: str
    styles: dict[str, str]
    is_lazy: bool
    checking: frozenset[str]
    exported: set[tuple[str, str]]
    lines: dict[str, None] = field(default_factory=dict)
    for_checkers: dict[str, None] = field(default_factory=dict)

    def word(self, module: str, name: str) -> str:
        """How this module writes a name of another, which it imports from there."""
        if module == "baton_dsl":
            return self._baton(name)
        if module not in self.styles:
            self._import(f"from {module} import {name}")
            return name
        style = self.styles[module]
        add = self._import if module not in self.checking else self._import_for_checkers
        package, _, last = f"{PACKAGE}.{module}".rpartition(".")
        dots = "." * (self.path.count(".") + 1)
        match style:
            case "renamed":
                add(f"from {package}.{last} import {name} as {name}_of_{last}")
                return f"{name}_of_{last}"
            case "relative":
                add(f"from {dots}{module} import {name} as {name}_by_dots_{last}")
                return f"{name}_by_dots_{last}"
            case "module":
                add(f"import {package}.{last}")
                return f"{package}.{last}.{name}"
            case "module as":
                add(f"import {package}.{last} as {last}_")
                return f"{last}_.{name}"
            case "of package":
                add(f"from {package} import {last}")
                return f"{last}.{name}"
            case "of relative package":
                add(f"from {dots}{module.rpartition('.')[0]} import {last} as its_{last}")
                return f"its_{last}.{name}"
            case "init":
                self.exported.add((module, name))
                add(f"from {PACKAGE} import {name}_from_{last}")
                return f"{name}_from_{last}"
            case "star":
                add(f"from {package}.{last} import *")
                return name
            case _:
                add(f"from {package}.{last} import {name} as {name}_by_{last}")
                return f"{name}_by_{last}"

    def _baton(self, name: str) -> str:
        match self.styles["baton_dsl"]:
            case "renamed":
                self._import(f"from baton_dsl import {name} as its_{name}")
                return f"its_{name}"
            case "module":
                self._import("import baton_dsl")
                return f"baton_dsl.{name}"
            case "module as":
                self._import("import baton_dsl as b")
                return f"b.{name}"
            case "dsl":
                self._import(f"from {PACKAGE}.dsl import {name}")
                return name
            case "star":
                self._import("from baton_dsl import *")
                return name
            case _:
                self._import(f"from baton_dsl import {name}")
                return name

    def _import(self, line: str) -> None:
        self.lines[line] = None

    def _import_for_checkers(self, line: str) -> None:
        self.for_checkers[line] = None
        self.lines["from typing import TYPE_CHECKING"] = None

    def text(self, body: list[str]) -> str:
        """The whole module."""
        head = ["from __future__ import annotations"] if self.is_lazy else []
        guarded = ["if TYPE_CHECKING:", *(f"    {line}" for line in self.for_checkers)] if self.for_checkers else []
        return "\n".join([*head, *self.lines, *guarded, "", *body, ""])


@dataclass(frozen=True)
class Parameter:
    """A parameter of a random step."""

    name: str
    form: str
    type: Annotation
    source: str = ""


@dataclass(frozen=True)
class RandomStep:
    """A random step and the module that it is in."""

    name: str
    module: str
    result: Annotation
    parameters: tuple[Parameter, ...]
    options: str
    is_async: bool
    is_static: bool


@st.composite
def programs(draw: st.DrawFn) -> dict[str, str]:
    """The files of a program, whose package is called `PACKAGE`."""
    known = (draw(models("models")), *([draw(models("deep.shapes"))] if draw(st.booleans()) else []))
    steps = [*draw(_steps(known)), *draw(_pairs(known))]
    homes = {step.name: step for step in steps}
    exported: set[tuple[str, str]] = set()
    modules = list(dict.fromkeys(["flow", *(step.module for step in steps)]))
    writers = {module: draw(_writers(module, [each.module for each in known], modules, exported)) for module in modules}
    bodies: dict[str, list[str]] = {module: [] for module in modules}
    for step in steps:
        bodies[step.module] += _step(step, writers[step.module], homes)
    bodies["flow"] += draw(_flow(steps, writers["flow"]))
    files = {f"{each.module.replace('.', '/')}.py": source(each) for each in known}
    files |= {f"{module.replace('.', '/')}.py": writers[module].text(body) for module, body in bodies.items()}
    files["dsl.py"] = "".join(f"from baton_dsl import {name} as {name}\n" for name in OURS)
    again = {f"{name}_from_{module.rpartition('.')[2]}": (module, name) for module, name in sorted(exported)}
    files["__init__.py"] = "".join(
        f"from {PACKAGE}.{module} import {name} as {shown}\n" for shown, (module, name) in again.items()
    )
    files["__init__.py"] += f"__all__ = {[*again]}\n" if again else ""
    for path in list(files):
        folder, _, _ = path.rpartition("/")
        if folder:
            files.setdefault(f"{folder}/__init__.py", "")
    return {f"{PACKAGE}/{path}": text for path, text in files.items()}


@st.composite
def _writers(
    draw: st.DrawFn, module: str, known: list[str], modules: list[str], exported: set[tuple[str, str]]
) -> Writer:
    styles = {"baton_dsl": draw(st.sampled_from(BATON))}
    is_star_left = styles["baton_dsl"] != "star"
    for other in (*known, *modules):
        if other == module:
            continue
        style = draw(st.sampled_from(IMPORTS if other in known else IMPORTS[:-2]))
        if style == "star" and (not is_star_left or len(known) > 1):
            # of two stars, which one gives a name can't be told; and with a star of one module, a string in an alias
            # of the other, such as `list["A"]`, is evaluated as the `A` of the wrong one, which only Python sees
            style = "from"
        is_star_left = is_star_left and style != "star"
        styles[other] = style
    is_lazy = draw(st.booleans())
    checking = {other for other in known if is_lazy and styles[other] != "star" and draw(st.integers(0, 5)) == 5}
    return Writer(module, styles, is_lazy, frozenset(checking), exported)


@st.composite
def _steps(draw: st.DrawFn, known: tuple[Models, ...]) -> list[RandomStep]:
    names = NAMES[: draw(st.integers(2, 5))]
    found: list[RandomStep] = []
    for position, name in enumerate(names):
        parameters: dict[str, Parameter] = {}
        for _ in range(draw(st.integers(0, 3))):
            parameter = draw(_parameters(known, found if position else [], names))
            parameters.setdefault(parameter.name, parameter)
        result = draw(annotations(known))
        options = draw(st.sampled_from(("", "", "", "queue='x'", "priority=3", "ignore_discarded=True", "max_items=3")))
        if sum("each" in item.form for item in parameters.values()) > 1:
            options = "combine='product'"
        if draw(st.integers(0, 7)) == 7:
            options += (", " if options else "") + f"after=['{draw(st.sampled_from(NAMES))}']"
        module = draw(st.sampled_from(PLACES))
        found.append(
            RandomStep(
                name, module, result, tuple(parameters.values()), options, draw(st.booleans()), draw(st.booleans())
            )
        )
    return found


@st.composite
def _pairs(draw: st.DrawFn, known: tuple[Models, ...]) -> list[RandomStep]:
    """Steps of which each second one takes what the first one gives, or something like it: types are most of a flow."""
    found: list[RandomStep] = []
    for number in range(draw(st.integers(0, 12))):
        given = draw(annotations(known))
        taken = draw(near(given, known))
        taken = draw(near(taken, known)) if draw(st.booleans()) else taken
        form = draw(st.sampled_from(("upstream", "upstream", "upstream", "each")))
        if form == "each" and given[0] in ("list", "set", "Sequence", "tuple") and isinstance(given[1], tuple):
            taken = draw(near(given[1], known))
        module = draw(st.sampled_from(PLACES))
        is_async = draw(st.booleans())
        parameter = Parameter(f"give_{number}", form, taken)
        found.append(RandomStep(f"give_{number}", module, given, (), "", is_async, False))
        found.append(RandomStep(f"take_{number}", module, ("plain", "int"), (parameter,), "", False, False))
    return found


@st.composite
def _parameters(
    draw: st.DrawFn, known: tuple[Models, ...], before: list[RandomStep], names: tuple[str, ...]
) -> Parameter:
    form = draw(
        st.sampled_from(
            (
                *("upstream", "upstream", "upstream", "each", "input", "each input", "from", "from default"),
                *("context", "any name"),
            )
        )
    )
    taken = draw(annotations(known))
    if form in ("upstream", "each", "from", "from default") and before:
        upstream = draw(st.sampled_from(before))
        if draw(st.integers(0, 4)):
            taken = draw(near(upstream.result, known)) if draw(st.integers(0, 3)) else upstream.result
            if form == "each":
                taken = taken[1] if taken[0] in ("list", "set", "Sequence") else taken  # type: ignore[assignment]
            if any("each" in item.form for item in upstream.parameters) and form != "each":
                taken = ("list", taken)
        if form == "from default":
            # to mypy, a default of another type is a mistake of its own
            taken = draw(st.sampled_from((upstream.result, upstream.result, upstream.result, ("any",), taken)))
            if any("each" in item.form for item in upstream.parameters):
                taken = ("list", taken)
            return Parameter(draw(st.sampled_from(("left", "right"))), form, taken, upstream.name)
        if form == "from":
            return Parameter(draw(st.sampled_from(("left", "right"))), "from", taken, upstream.name)
        return Parameter(upstream.name, form, taken)
    if form == "context":
        return Parameter("context", "context", taken)
    if form in ("input", "each input"):
        if draw(st.integers(0, 2)) == 0:  # values are judged by their types, but for literals
            taken = ("literal", *draw(st.lists(st.sampled_from(LITERALS), min_size=1, max_size=3, unique=True)))
        return Parameter(draw(st.sampled_from(("one", "two"))), form, taken)
    return Parameter(draw(st.sampled_from((*names, *NAMES))), "upstream", taken)


def _can_take(step: RandomStep, upstream: RandomStep) -> bool:
    """Whether a step's module can import an upstream, which was written before, without a circle of imports."""
    return PLACES.index(step.module) <= PLACES.index(upstream.module)


def _step(step: RandomStep, writer: Writer, homes: dict[str, RandomStep]) -> list[str]:
    def baton(name: str) -> str:
        return writer.word("baton_dsl", name)

    shown: list[str] = []
    defaulted: list[str] = []
    for parameter in step.parameters:
        annotation = written(parameter.type, writer.word)
        match parameter.form:
            case "each":
                annotation = f"{baton('Each')}[{annotation}]"
            case "input":
                annotation = f"{baton('Input')}[{annotation}]"
            case "each input":
                annotation = f"{baton('Each')}[{baton('Input')}[{annotation}]]"
            case "from":
                annotation = (
                    f"{writer.word('typing', 'Annotated')}[{annotation}, {baton('From')}('{parameter.source}')]"
                )
            case "context":
                annotation = baton("StepContext")
            case "from default":
                upstream = homes[parameter.source]
                source = repr(upstream.name)
                if _can_take(step, upstream):
                    source = _called(upstream, writer)
                defaulted.append(f"{parameter.name}: {annotation} = {baton('From')}({source})")
                continue
            case _:
                pass
        shown.append(f"{parameter.name}: {annotation}")
    shown += defaulted
    decorator = f"@{baton('step')}" + (f"({step.options})" if step.options else "")
    result = written(step.result, writer.word)
    head = f"{'async ' * step.is_async}def {step.name}({', '.join(shown)}) -> {result}:"
    lines = [decorator, *(["@staticmethod"] if step.is_static else []), head, "    raise NotImplementedError"]
    if step.is_static:
        lines = [f"class Of_{step.name}:", *(f"    {line}" for line in lines)]
    return [*lines, ""]


VALUES = ("1", "'a'", "None", "True", "1.5", "b'x'", "[1]", "['a', None]", "{'a': 1}", "(1, 'a')", "{1, 2}", "[]")
"""Values that a program gives to inputs."""
GIVEN = ("one", "two", "two", "three")
"""Names of inputs that a program gives; the last one is no input of any step."""


OPTIONS = ("debug=True", "ignore_discarded=True", "ignore_discarded=False", "ignore_cancelled=False, debug=True")
"""What a flow is given anew after it is made."""


@st.composite
def _arguments(draw: st.DrawFn) -> str:
    names = draw(st.lists(st.sampled_from(GIVEN), max_size=3, unique=True))
    return ", ".join(f"{name}={draw(st.sampled_from(VALUES))}" for name in names)


@st.composite
def _changes(draw: st.DrawFn, name: str) -> str:
    """What a flow does with a step before it takes it: mostly nothing."""
    match draw(st.integers(0, 11)):
        case 9:
            return f".bind({draw(_arguments())})"
        case 10:
            return f".named({draw(st.sampled_from((name, *NAMES)))!r})"
        case 11:
            return f".named({name + '_again'!r}).bind({draw(_arguments())})"
        case _:
            return ""


@st.composite
def _flow(draw: st.DrawFn, steps: list[RandomStep], writer: Writer) -> list[str]:
    left_out = draw(st.integers(-6, len(steps) - 1))
    names: list[str] = []
    given: list[str] = []
    for number, step in enumerate(steps):
        if number == left_out:
            continue
        own = _called(step, writer)
        changes = draw(_changes(step.name))
        named = re.match(r"\.named\('(\w+)'\)", changes)
        names.append(named[1] if named else step.name)
        given.append(own + changes)
        if "_again" in changes:  # the same function twice
            names.append(step.name)
            given.append(own)
    flow = writer.word("baton_dsl", "Flow")
    options = draw(st.sampled_from(("", "", ", ignore_discarded=True", ", ignore_cancelled=True, debug=True")))
    after = ""
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 1, 2)))):
        after += (
            f".bind({draw(_arguments())})" if draw(st.booleans()) else f".options({draw(st.sampled_from(OPTIONS))})"
        )
    head: list[str] = []
    match draw(st.sampled_from(("plain", "tuple", "chain"))):
        case "tuple" if given:
            head = [f"STEPS = ({', '.join(given)},)"]
            made = f'{flow}("random", *STEPS{options})'
        case "chain":
            once = dict(zip(names, given, strict=True))  # a name that is taken is refused at once
            added = "".join(f'.add("{name}", {step})' for name, step in once.items())
            made = f'{flow}("random"{options}){added}'
        case _:
            made = f'{flow}("random", {", ".join(given)}{options})' if given else f'{flow}("random"{options})'
    head.append(f"the_flow = {made}{after}")
    for number in range(draw(st.sampled_from((0, 0, 1, 2)))):
        connection = f"{writer.word('psycopg', 'Connection')}[{writer.word('typing', 'Any')}]"
        call = f"the_flow.insert(connection, {draw(_arguments())})"
        head += [f"def start_{number}(connection: {connection}) -> None:", f"    {call}", ""]
    return head


def _called(step: RandomStep, writer: Writer) -> str:
    """How a module calls a step: its own one, or one of another module."""
    first, dot, rest = (f"Of_{step.name}.{step.name}" if step.is_static else step.name).partition(".")
    return f"{first if step.module == writer.path else writer.word(step.module, first)}{dot}{rest}"
