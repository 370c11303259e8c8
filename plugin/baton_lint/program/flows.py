"""Turn flows in source into the same `FlowSpec`s as live flows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules import option as option_rule
from baton_dsl.core.spec import (
    IGNORES,
    INHERITS,
    Argument,
    FlowSpec,
    Ignores,
    InsertCall,
    Option,
    Place,
    Reference,
    StepSpec,
)
from baton_dsl.core.types import ANY
from baton_lint.program.known import ours
from baton_lint.program.mappings import mappings_in
from baton_lint.program.names import Names
from baton_lint.program.replaced import OPTIONS, flow_of_run, replaced
from baton_lint.program.steps import Steps
from baton_lint.program.values import (
    External,
    FlowValue,
    FunctionValue,
    ItemsValue,
    Keyword,
    ParameterValue,
    StepValue,
    Unknown,
    Value,
    rebound,
)
from baton_lint.source.expressions import Expression, Span, chain
from baton_lint.source.facts import CallFacts


@dataclass(slots=True)
class Build:
    """A flow under construction, collected from all places in the project that use it."""

    path: str
    scope: int
    name: str | None = None
    name_place: Place | None = None
    is_top: bool = False
    """True for a flow that is created when its module is imported."""
    ignores: Ignores = INHERITS
    steps: list[StepSpec] = field(default_factory=list)
    used: set[tuple[str, int | None]] = field(default_factory=set)
    definitions: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    """The file and function of each step, by its name in the flow; of two with the same name, the first."""
    options: dict[str, Option] = field(default_factory=dict)
    inserts: list[InsertCall] = field(default_factory=list)
    binds: list[InsertCall] = field(default_factory=list)
    variants: list[Ignores] = field(default_factory=list)
    open_because: dict[Reference, None] = field(default_factory=dict)
    findings: list[Diagnostic] = field(default_factory=list)
    is_grown: bool = False
    """True if steps are added one by one."""

    def specs(self) -> Iterator[FlowSpec]:
        """The spec of the flow, and those of its variants with other options."""
        spec = FlowSpec(
            name=self.name or "?",
            steps=tuple(self.steps),
            options=self.options,
            inserts=tuple(self.inserts),
            binds=tuple(self.binds),
            open_because=tuple(self.open_because),
            place=self.name_place,
            ignores=self.ignores,
        )
        yield spec
        for chosen in self.variants:
            yield replace(spec, inserts=(), binds=(), ignores=chosen.over(spec.ignores))


class Flows:
    """Collects the flows of a project.

    Args:
        names: Resolves names.
        steps: Describes steps.
    """

    def __init__(self, names: Names, steps: Steps) -> None:
        self.names = names
        self.steps = steps
        self.project = names.project
        self._builds: dict[FlowValue, Build] = {}
        self._gathered: set[str] = set()
        self._waiting: list[str] = []

    def gather(self, paths: Iterable[str]) -> list[Build]:
        """All flows that these files create, and those of other files that they use."""
        self._waiting = list(paths)
        while self._waiting:
            path = self._waiting.pop(0)
            if path not in self._gathered:
                self._gathered.add(path)
                self._file(path)
        return [build for build in self._builds.values() if build.name is not None]

    def _file(self, path: str) -> None:
        facts = self.project.files.facts(path)
        if facts is None or not facts["calls"]:
            return
        unresolved: Reference | None = None
        for call in facts["calls"]:
            unresolved = self._call(path, call) or unresolved
        here = [build for value, build in self._builds.items() if value.path == path]
        for build in here:
            if unresolved is not None:
                build.open_because[unresolved] = None
        if here:
            self._given_away(path)

    def _given_away(self, path: str) -> None:
        """Mark flows as open that get steps one by one and are passed to a function, which may add more."""
        facts = self.project.files.facts(path)
        assert facts is not None
        for scope, name in facts["passed"]:
            binding = facts["scopes"][scope]["names"].get(name)
            if binding is None or binding[0] != "value" or binding[1][0] != "call":
                continue
            value = self.names.lookup(path, scope, name, (1, 1, 1, 1))
            build = self._builds.get(value) if isinstance(value, FlowValue) else None
            if build is not None and (build.is_grown or not build.steps):
                build.open_because[Reference("it is given to a function that may add steps", build.name_place)] = None

    # -- one chain of calls -----------------------------------------------------------------------------------

    def _call(self, path: str, call: CallFacts) -> Reference | None:
        """Process one chain of calls. Return a reason if it adds steps to an unknown flow."""
        scope = call["scope"]
        links = list(chain(call["expression"]))[::-1]
        build: Build | None = None
        flow: FlowValue | None = None
        is_new = False
        for position, link in enumerate(links):
            if build is None or flow is None:
                if link[0] == "call" and ours(self.names.evaluate(path, scope, link[2])) == "Flow":
                    flow, is_new = FlowValue(path, link[1]), True
                    build = self._made(path, scope, link)
                else:
                    flow = self._existing(path, scope, link)
                    build = self._build(flow, -1) if flow else None
            elif link[0] == "call" and links[position - 1][0] == "attr":
                flow = self._method(build, flow, path, call, links[position - 1][3], link, is_new=is_new)
        if build is not None:
            return None
        last = links[-1]
        if (run := flow_of_run(last)) is not None:
            self._run(path, scope, run, last)
            return None
        if last[0] == "call" and last[2][0] == "attr" and last[2][3] == "add" and _may_name_a_step(last[3]):
            root = self.names.evaluate(path, scope, links[0])
            if isinstance(root, Unknown | ParameterValue | FunctionValue):
                return Reference("steps may be added in a way that can't be followed", self._place(path, last[1]))
        return None

    def _run(self, path: str, scope: int, run: Expression, call: Expression) -> None:
        """Process a run of a flow by a test: its inputs and replacements."""
        flow = self._existing(path, scope, run)
        if flow is None:
            return
        given = tuple(
            Keyword(name, place, value, path, scope) for name, place, value in call[4] if name and name not in OPTIONS
        )
        self._build(flow, -1).inserts.append(
            InsertCall(
                arguments=self._arguments(rebound(flow.bound, given)),
                place=self._place(path, call[1]),
                is_open=flow.hides_bound or any(name is None for name, *_ in call[4]),
                replaced=replaced(self.steps, path, scope, call),
            )
        )

    def _existing(self, path: str, scope: int, link: Expression) -> FlowValue | None:
        if link[0] == "call":
            return None
        value = self.names.evaluate(path, scope, link)
        return value if isinstance(value, FlowValue) else None

    def _build(self, value: FlowValue, scope: int) -> Build:
        if value not in self._builds:
            self._builds[value] = Build(value.path, scope)
            if value.path not in self._gathered:
                self._waiting.append(value.path)
        return self._builds[value]

    def _made(self, path: str, scope: int, call: Expression) -> Build:
        _, span, _, arguments, keywords = call
        build = self._build(FlowValue(path, span), scope)
        build.scope = scope
        facts = self.project.files.facts(path)
        build.is_top = bool(facts) and scope == 0
        if not arguments:
            return build
        name = self.names.text(path, scope, arguments[0])
        build.name = "?" if name is None else name
        build.name_place = self._place(path, arguments[0][1])
        build.is_top = build.is_top and name is not None
        build.ignores = self._ignores(path, scope, keywords)
        build.options = self._options(path, scope, keywords)
        if name is not None and (expected := option_rule.wrong_name(name)):
            build.findings.append(
                option_rule.finding(f"the name of a flow must be {expected}, got {name!r:.60}", place=build.name_place)
            )
        hidden = False
        for argument in arguments[1:]:
            hidden = hidden or argument[0] == "star"
            # after an unpacking, the live check does not know which argument it was, so both point at the call
            place = self._place(path, span if hidden else argument[1])
            self._item(build, path, scope, argument, place, self._place(path, argument[1]))
        return build

    def _ignores(self, path: str, scope: int, keywords: tuple[Expression, ...]) -> Ignores:
        """The `ignore_*` options. One that is not a literal counts as not set, so that rules stay silent."""
        given = {
            name: self.steps.literal(path, scope, expression) is True
            for name, _, expression in keywords
            if name in IGNORES
        }
        return Ignores.of(given)

    def _options(self, path: str, scope: int, keywords: tuple[Expression, ...]) -> dict[str, Option]:
        return {
            name: Option(
                value=(self.steps.models_by_step if name == "models" else self.steps.literal)(path, scope, expression),
                place=self._place(path, span),
            )
            for name, span, expression in keywords
            if name
        }

    def _item(
        self, build: Build, path: str, scope: int, expression: Expression, place: Place, shown: Place, depth: int = 0
    ) -> None:
        """One argument of `Flow(...)`, or one item of a tuple that is unpacked there."""
        if expression[0] == "star":
            items = self.names.evaluate(path, scope, expression[2])
            if not isinstance(items, ItemsValue) or depth > 8:
                self._open(build, _why(items), shown)
                return
            if items.changes:
                self._open(build, items.changes, shown)
            for item in items.items:
                self._item(build, items.path, items.scope, item, place, shown, depth + 1)
            return
        value = self.names.evaluate(path, scope, expression)
        if isinstance(value, StepValue) and value.name is not None:
            build.used.add((value.path, value.index))
            build.definitions.setdefault(value.name, (value.path, value.index))
            if not any(keyword.name == "name" for keyword in value.maker.options):  # otherwise the option is checked
                self._check_name(build, value.name, place)
            build.steps.append(self.steps.spec(value, value.name, argument_place=place))
        elif isinstance(value, StepValue):
            build.used.add((value.path, value.index))
            self._open(build, "the name of a step can't be determined", shown)
        elif isinstance(value, FunctionValue):
            self._open(build, self._no_step(build, value, place), shown)
        else:
            self._open(build, _why(value), shown)

    def _no_step(self, build: Build, value: FunctionValue, place: Place) -> str:
        """Report a function that is used as a step, and return the reason."""
        facts = self.project.files.facts(value.path)
        problem = f'"{facts["functions"][value.index]["name"] if facts else "?"}" is no step'
        remedy = "decorate the function with @step; to add a plain Oban job, use .add(name, Worker.new({...}))"
        build.findings.append(option_rule.finding(problem, help=remedy, place=place))
        return problem

    def _check_name(self, build: Build, name: str, place: Place) -> None:
        if expected := option_rule.wrong_step_name(name):
            build.findings.append(
                option_rule.finding(f"the name of a step must be {expected}, got {name!r:.60}", step=name, place=place)
            )

    def _open(self, build: Build, reason: str, place: Place) -> None:
        build.open_because[Reference(reason, place)] = None

    # -- methods of a flow ------------------------------------------------------------------------------------

    def _method(
        self, build: Build, flow: FlowValue, path: str, call: CallFacts, name: str, link: Expression, *, is_new: bool
    ) -> FlowValue:
        """Process a call of a method of a flow. Return the flow for the next call in the chain."""
        scope = call["scope"]
        match name:
            case "add":
                self._added(build, path, call, link, is_new=is_new)
            case "options":
                ignores = self._ignores(path, scope, link[4])
                if is_new:  # nobody has the flow without these options
                    build.ignores = ignores.over(build.ignores)
                elif ignores != INHERITS:
                    build.variants.append(ignores)
                build.findings.extend(option_rule.flow_options(self._options(path, scope, link[4])))
            case "bind":
                given = tuple(Keyword(name, span, value, path, scope) for name, span, value in link[4] if name)
                build.binds.append(InsertCall(arguments=self._arguments(given), place=self._place(path, link[1])))
                return flow.binding(given, hides=len(given) < len(link[4]))
            case "insert":
                build.inserts.append(self._insert(flow, path, call, link))
            case "insert_many" if len(link[3]) == 2:
                build.inserts.extend(self._insert_many(flow, path, call, link))
            case _:
                pass
        return flow

    def _added(self, build: Build, path: str, call: CallFacts, link: Expression, *, is_new: bool) -> None:
        scope, span, arguments = call["scope"], link[1], link[3]
        place = self._place(path, span)
        build.is_grown = True
        if not is_new and (path, scope) != (build.path, build.scope):
            self._open(build, "steps are added elsewhere", place)
            return
        if not is_new and not call["is_certain"]:
            self._open(build, "steps are added in a branch or a loop", place)
            return
        if len(arguments) < 2 or any(argument[0] == "star" for argument in arguments):
            self._open(build, "what is added can't be determined", place)
            return
        name = self.steps.literal(path, scope, arguments[0])
        if not isinstance(name, str):
            self._open(build, "the name of a step can't be determined", self._place(path, arguments[0][1]))
            return
        self._check_name(build, name, self._place(path, arguments[0][1]))
        deps: tuple[Reference, ...] = ()
        is_whole = True
        for keyword, keyword_span, expression in link[4]:
            if keyword == "deps":
                deps, is_whole = self.steps.references(Keyword("deps", keyword_span, expression, path, scope))
        spec = self._entry(build, path, scope, name, arguments, deps, is_whole=is_whole)
        ignores = self._ignores(path, scope, link[4])
        build.steps.append(spec._replace(ignores=ignores.over(spec.ignores)))

    def _entry(
        self,
        build: Build,
        path: str,
        scope: int,
        name: str,
        arguments: tuple[Expression, ...],
        deps: tuple[Reference, ...],
        *,
        is_whole: bool,
    ) -> StepSpec:
        place = self._place(path, arguments[0][1])
        value = self.names.evaluate(path, scope, arguments[1])
        if isinstance(value, StepValue):
            build.used.add((value.path, value.index))
            build.definitions.setdefault(name, (value.path, value.index))
            spec = self.steps.spec(value, name, argument_place=place, deps=deps)
            return spec._replace(is_open=spec.is_open or not is_whole)
        last = arguments[1]
        if isinstance(value, FunctionValue):
            self._no_step(build, value, self._place(path, last[1]))
        is_job = last[0] == "call" and last[2][0] == "attr" and last[2][3] == "new"
        return StepSpec(name=name, result=ANY, deps=deps, argument_place=place, is_job=True, is_open=not is_job)

    def _arguments(self, given: tuple[Keyword, ...]) -> dict[str, Argument]:
        return {
            word.name: self.steps.argument(word.path, word.scope, word.expression, self._place(word.path, word.span))
            for word in given
        }

    def _insert(self, flow: FlowValue, path: str, call: CallFacts, link: Expression) -> InsertCall:
        """A call of `insert`, including the inputs that were bound before."""
        scope = call["scope"]
        _, span, _, arguments, keywords = link
        given = tuple(Keyword(name, place, value, path, scope) for name, place, value in keywords if name)
        hides = flow.hides_bound or len(given) < len(keywords)
        is_awaitable = not arguments or self._is_async(path, scope, arguments[0])
        return InsertCall(
            arguments=self._arguments(rebound(flow.bound, given)),
            place=self._place(path, span),
            is_open=hides or any(argument[0] == "star" for argument in arguments),
            is_dropped=call["is_dropped"] and is_awaitable and link is call["expression"],
        )

    def _insert_many(self, flow: FlowValue, path: str, call: CallFacts, link: Expression) -> Iterator[InsertCall]:
        """A call of `insert_many`: whether it is awaited, and each mapping of inputs that is written out in it."""
        scope = call["scope"]
        connection, workflows = link[3]
        yield InsertCall(
            arguments={},
            place=self._place(path, link[1]),
            is_open=True,
            is_dropped=call["is_dropped"] and link is call["expression"] and self._is_async(path, scope, connection),
        )
        for mapping in mappings_in(workflows):
            words = tuple(Keyword(*word, path, scope) for word in mapping.words)
            yield InsertCall(
                arguments=self._arguments(rebound(flow.bound, words)),
                place=self._place(path, mapping.span),
                is_open=flow.hides_bound or not mapping.is_whole,
                is_mapping=True,
            )

    def _is_async(self, path: str, scope: int, connection: Expression) -> bool:
        """Whether a connection is certainly async: by its annotation, by `async with`, or because it is None."""
        if connection[0] == "const" and connection[2] is None:
            return True
        value: Value = self.names.evaluate(path, scope, connection)
        if isinstance(value, Unknown):
            return value.reason.endswith("is set by an async with")
        if not isinstance(value, ParameterValue) or value.annotation is None:
            return False
        annotated = self.names.evaluate(value.path, value.scope, value.annotation)
        return isinstance(annotated, External) and annotated.name.rpartition(".")[2].startswith("Async")

    def _place(self, path: str, span: Span) -> Place:
        return self.project.place(path, span)


def _may_name_a_step(arguments: tuple[Expression, ...]) -> bool:
    return len(arguments) >= 2 and arguments[0][0] in ("const", "string", "name", "attr")


def _why(value: Value) -> str:
    match value:
        case Unknown(reason):
            return reason
        case External(name):
            return f'"{name}" is outside of the project'
        case ParameterValue():
            return "a step is given at run time"
        case _:
            return "a step can't be determined"
