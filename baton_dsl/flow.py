"""`Flow`: steps that form a DAG, which are checked and inserted together."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, Self, Unpack, cast, final, overload

from typing_extensions import ParamSpec, TypeVar

from baton_dsl.core.check import Checked, check
from baton_dsl.core.diagnostics import Diagnostic, did_you_mean
from baton_dsl.core.roles import METHOD
from baton_dsl.core.rules import CATALOGUE, duplicate_step, missing_annotation
from baton_dsl.core.rules import option as option_rule
from baton_dsl.core.spec import FlowSpec, Ignores, InsertCall, Option, Place
from baton_dsl.core.wording import suggestion_after
from baton_dsl.errors import FlowError
from baton_dsl.flow_options import CHECKED, FlowOptions, Settings, WorkflowOptions
from baton_dsl.places import CallSite
from baton_dsl.reflect import LIVE_TYPES, argument_of, flow_spec
from baton_dsl.step import Entry, Step

if TYPE_CHECKING:
    import psycopg
    from oban import Job

    from baton_dsl.runtime.database.connections import AsyncSessionLike, SyncSessionLike
    from baton_dsl.runtime.workflow import Workflow

_option = option_rule.finding
_CODES_OF_VALIDATE = frozenset(code for code, rule in CATALOGUE.items() if rule.at_validate)


type WorkflowInputs = Mapping[str, Any] | tuple[Mapping[str, Any], WorkflowOptions]
"""What `Flow.insert_many` takes for each workflow: its inputs by name, and optionally its own options."""


@dataclass(slots=True)
class _Once:
    """The check of a flow, shared with copies that differ only in what no rule reads."""

    checked: Checked | None = None


# The syntax for defaults of type parameters exists only since Python 3.13.
I = ParamSpec("I", default=...)  # noqa: E741 - the inputs
S = TypeVar("S", bound=str, default=str, covariant=True)


@final
class Flow(Generic[I, S]):
    """Steps that form a DAG. A flow is a definition; each `insert` makes a workflow of it.

    Type parameters: the inputs `I` as a signature, and the names of its steps `S`. The mypy plugin fills them in;
    without it they accept everything.

    Args:
        name: The flow's name.
        *steps: Its steps, in any order.
        **options: See `FlowOptions`.

    Raises:
        FlowError: BTN305, if an option is unknown or of the wrong type. `validate` and `insert` report all mistakes
            in the graph at once.

    Examples:
        >>> from baton_dsl import Flow, Input, step
        >>> @step
        ... def words(text: Input[str]) -> list[str]:
        ...     return text.split()
        >>> @step
        ... def count(words: list[str]) -> int:
        ...     return len(words)
        >>> Flow("counting", count, words).validate()
        ['words', 'count']
    """

    def __init__(self, name: str, /, *steps: Step[..., Any, Any, Any], **options: Unpack[FlowOptions]) -> None:
        site = CallSite.of_caller()
        if expected := option_rule.wrong_name(name):
            problem = f"the name of a flow must be {expected}, got {name!r:.60}"
            raise FlowError([_option(problem, place=site.argument(0))])
        if strange := [(at, it) for at, it in enumerate(cast("list[object]", steps), 1) if not isinstance(it, Step)]:
            raise FlowError([_not_a_step(name, step, site.argument(at)) for at, step in strange])
        self.name = name
        self.settings = Settings().changed(options, site)
        self.entries = [Entry(name=it.name, step=it, site=site, position=at) for at, it in enumerate(steps, start=1)]
        self._names = {entry.name for entry in self.entries}
        self.bound: Mapping[str, Any] = {}
        self._bind_sites: Mapping[str, CallSite] = {}
        self._once = _Once()

    def __repr__(self) -> str:
        return f"<flow {self.name!r} of {len(self.entries)} steps>"

    def add(
        self,
        name: str,
        step: Step[..., Any, Any, Any] | Job,
        /,
        *,
        deps: Sequence[str] = (),
        ignore_cancelled: bool | None = None,
        ignore_discarded: bool | None = None,
    ) -> Self:
        """Add a step, or a plain Oban job, to a flow whose shape is known only at run time.

        Args:
            name: The step's name in this flow.
            step: A step, which may have bound inputs; or a job such as `ExportWorker.new({...})`.
            deps: Names of steps to wait for, besides those that the signature names. Their results are in
                `StepContext.upstream`. They may be added later.
            ignore_cancelled: Run even if an upstream was cancelled; None uses the step's option, or else the flow's.
            ignore_discarded: Run even if an upstream was discarded; None uses the step's option, or else the flow's.

        Returns:
            The flow itself.

        Raises:
            FlowError: BTN103 if the flow has a step of that name already, BTN305 if a name is not valid.

        Examples:
            >>> from baton_dsl import Flow, Input, StepContext, step
            >>> @step
            ... def project(tile: Input[int]) -> int:
            ...     return tile
            >>> @step
            ... def montage(context: StepContext) -> int:
            ...     return sum(context.upstream.values())
            >>> flow = Flow("montage")
            >>> for tile in range(3):
            ...     _ = flow.add(f"project_{tile}", project.bind(tile=tile))
            >>> flow.add("montage", montage, deps=[f"project_{tile}" for tile in range(3)]).validate()[-1]
            'montage'
        """
        site = CallSite.of_caller()
        if expected := option_rule.wrong_step_name(name):
            problem = f"the name of a step must be {expected}, got {name!r:.60}"
            raise FlowError([_option(problem, flow=self.name, place=site.argument(0))])
        if name in self._names:
            raise FlowError(
                [
                    duplicate_step.finding(
                        f'a step called "{name}" is in the flow already',
                        help="give it a name of its own",
                        flow=self.name,
                        step=name,
                        place=site.argument(0),
                    )
                ]
            )
        if not _are_names(deps):
            raise FlowError([_option(f'deps of "{name}" must be a list of names, got {deps!r:.60}', flow=self.name)])
        if not isinstance(step, Step) and not _is_job(step):
            raise FlowError([_not_a_step(self.name, step, site.argument(1))])
        self.entries.append(
            Entry(
                name=name,
                step=step,
                deps=tuple(deps),
                ignores=Ignores(ignore_cancelled, ignore_discarded),
                site=site,
            )
        )
        self._names.add(name)
        self._once = _Once()
        return self

    def options(self, **options: Unpack[FlowOptions]) -> Flow[I, S]:
        """Copy the flow with other options, for one insert.

        Examples:
            >>> from baton_dsl import Flow
            >>> Flow("billing").options(workflow_id="2026-11", debug=True).settings.workflow_id
            '2026-11'
        """
        return self._with(options, CallSite.of_caller())

    def _with(self, options: Mapping[str, Any], site: CallSite) -> Flow[I, S]:
        settings = self.settings.changed(options, site)
        once = self._once if CHECKED.isdisjoint(options) else _Once()
        return self._copy(settings=settings, _once=once)

    def bind(self, /, **inputs: Any) -> Flow[..., S]:
        """Copy the flow with some of its inputs set. `insert` can then leave these out.

        As with `functools.partial`, a later value wins, from another `bind` or from `insert`. `validate` and `insert`
        check the values against the annotations. Steps that are added later receive them too.

        Args:
            **inputs: Values by input name.

        Examples:
            >>> from baton_dsl import Flow, Input, step
            >>> @step
            ... def charge(region: Input[str], amount: Input[int]) -> int:
            ...     return amount
            >>> billing = Flow("billing", charge)
            >>> in_europe = billing.bind(region="eu")  # in_europe.insert(session, amount=12)
            >>> dict(in_europe.bound), dict(billing.bound)
            ({'region': 'eu'}, {})
        """
        site = CallSite.of_caller()
        return self._copy(
            bound={**self.bound, **inputs},
            _bind_sites={**self._bind_sites, **dict.fromkeys(inputs, site)},
            _once=_Once(),
        )

    def _copy(self, **changed: object) -> Flow[I, S]:
        """Copy the flow with some attributes changed."""
        copy: Flow[I, S] = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, entries=list(self.entries), _names=set(self._names), **changed)
        return copy

    @property
    def step_names(self) -> tuple[str, ...]:
        """The names of the steps, in the order in which they were added."""
        return tuple(entry.name for entry in self.entries)

    def spec(self, *, places: bool = False) -> FlowSpec:
        """The flow as plain values.

        Args:
            places: Whether to look up the place of everything in the source, which is slow.
        """
        spec = flow_spec(
            self.name,
            self.entries,
            ignores=Ignores(self.settings.ignore_cancelled, self.settings.ignore_discarded),
            places=places,
        )
        if self.settings.models:
            site = self.settings.models_site if places else None
            models = Option(self.settings.models, site.keyword("models") if site else None)
            spec = replace(spec, options={"models": models})
        return replace(spec, binds=(self._bind_call(places=places),)) if self.bound else spec

    def _bind_call(self, *, places: bool) -> InsertCall:
        """All bound inputs as one call of `bind`; each argument keeps its place."""
        arguments = {name: argument_of(value) for name, value in self.bound.items()}
        if places:
            arguments = {
                name: argument._replace(place=self._bind_sites[name].keyword(name))
                for name, argument in arguments.items()
            }
        return InsertCall(arguments=arguments)

    def checked(self) -> Checked:
        """The flow's graph, and all findings with their positions. Computed once."""
        if self._once.checked is not None:
            return self._once.checked
        checked = check(self.spec(), LIVE_TYPES)
        checked = check(self.spec(places=True), LIVE_TYPES) if checked.findings else checked
        strangers = tuple(self._models_of_no_step())
        checked = replace(checked, findings=(*checked.findings, *strangers)) if strangers else checked
        if not any(finding.code == missing_annotation.finding.code for finding in checked.findings):
            self._once.checked = checked  # otherwise a missing name may still be defined before the flow is used
        return checked

    def _models_of_no_step(self) -> Iterator[Diagnostic]:
        for name in self.settings.models:
            if name != "*" and name not in self._names:
                nearest = did_you_mean(name, self.step_names)
                yield _option(
                    f'option "models" names "{name}", which is no step of the flow' + suggestion_after(nearest),
                    help='name a step, or "*" for all others',
                    suggestion=nearest,
                    flow=self.name,
                )

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything that is wrong with the flow; empty if nothing is."""
        return self.checked().findings

    def validate(self) -> list[str]:
        """Check the flow.

        Returns:
            The names of its steps in topological order: each after its upstreams.

        Raises:
            FlowError: With all diagnostics, if anything is wrong.
        """
        checked = self.checked()
        if checked.findings:
            # a nested function is fine until a worker has to import it; a method never gets its `self`
            methods = {step.name for step in checked.flow.steps if step.unimportable == METHOD}
            if found := [item for item in checked.findings if item.code in _CODES_OF_VALIDATE or item.step in methods]:
                raise FlowError(found)
        return checked.graph.topological_order()

    # psycopg has overloads of its own: without SQLAlchemy installed, its classes are Any to a type checker, and match
    # # everything.
    @overload
    def insert(self, conn: psycopg.Connection[Any], /, **inputs: Any) -> Workflow[S]: ...
    @overload
    def insert(
        self, conn: psycopg.AsyncConnection[Any] | None = None, /, **inputs: Any
    ) -> Coroutine[Any, Any, Workflow[S]]: ...
    @overload
    def insert(self, conn: AsyncSessionLike, /, **inputs: Any) -> Coroutine[Any, Any, Workflow[S]]: ...
    @overload
    def insert(self, conn: SyncSessionLike, /, **inputs: Any) -> Workflow[S]: ...
    def insert(self, conn: object = None, /, *args: object, **inputs: Any) -> object:
        """Insert a workflow of this flow: every row, or none, in the caller's transaction.

        The steps without upstreams become available when that transaction commits.

        Args:
            conn: A psycopg `Connection` or `AsyncConnection`; a SQLAlchemy `Connection`, `Session`, `AsyncConnection`
                or `AsyncSession` on the psycopg driver, also a scoped one or one within `run_sync`; or
                `django.db.connection`. It is neither committed nor rolled back. Without `conn`, the pool of the Oban
                instance is used, in a transaction of its own.
            *args: Not used: inputs are passed by name.
            **inputs: The flow's inputs, by name. Inputs that `bind` has set may be left out or overridden.

        Returns:
            The `Workflow`; with an async connection, or without a connection, a coroutine that returns it.

        Raises:
            FlowError: If the flow is wrong; contains all diagnostics.
            InputError: BTN303, if an input is unknown, missing or does not validate.
            EmptyFlowError: BTN401, if there are no steps.
            ConnectionTypeError: BTN402, if `conn` is something else.
            WorkflowExistsError: BTN403, if a workflow with the `workflow_id` exists.
            SchemaMissingError: BTN404, if `baton install` was not run.
            SchemaVersionError: BTN405, if the schema is too old.
            ObanNotFoundError: BTN406, if there is neither a connection nor an Oban instance.

        Example:
            ```python
            async with session.begin():
                session.add(customer)
                workflow = await billing.insert(session, api_key="xyz")
            ```
        """
        from baton_dsl.runtime.insert import insert  # the only import of the runtime from a definition

        if args:
            raise TypeError(f"pass the inputs of a flow by name, got {len(args)} by position")
        return insert(cast("Flow[..., Any]", self), conn, inputs)

    @overload
    def insert_many(
        self, conn: psycopg.Connection[Any], workflows: Iterable[WorkflowInputs], /
    ) -> list[Workflow[S]]: ...
    @overload
    def insert_many(
        self, conn: psycopg.AsyncConnection[Any] | None, workflows: Iterable[WorkflowInputs], /
    ) -> Coroutine[Any, Any, list[Workflow[S]]]: ...
    @overload
    def insert_many(
        self, conn: AsyncSessionLike, workflows: Iterable[WorkflowInputs], /
    ) -> Coroutine[Any, Any, list[Workflow[S]]]: ...
    @overload
    def insert_many(self, conn: SyncSessionLike, workflows: Iterable[WorkflowInputs], /) -> list[Workflow[S]]: ...
    def insert_many(self, conn: object, workflows: Iterable[WorkflowInputs], /) -> object:
        """Insert many workflows of this flow in one statement: every row of all of them, or none.

        Args:
            conn: A connection as for `insert`; None for the pool of the Oban instance.
            workflows: For each workflow, a mapping of its inputs by name; or a pair of that mapping and its own options
                (see `WorkflowOptions`), which override the flow's.

        Returns:
            The `Workflow`s in the same order; with an async connection, or with None, a coroutine that returns them.

        Raises:
            FlowError, EmptyFlowError, ConnectionTypeError, SchemaMissingError, SchemaVersionError, ObanNotFoundError:
                As for `insert`.
            InputError: BTN303, if inputs of any of them are wrong. The message names each: `workflows[3]: ...`.
            WorkflowExistsError: BTN403, if a workflow with a `workflow_id` exists, or two get the same one.
            InsertTooLargeError: BTN540, if they are too large for one statement.

        Example:
            ```python
            workflows = await billing.insert_many(session, [{"api_key": key} for key in keys])
            await billing.insert_many(
                session,
                [({"api_key": key}, {"workflow_id": f"billing-{customer}"}) for customer, key in customers],
            )
            ```
        """
        from baton_dsl.runtime.insert import insert_many  # as above

        site = CallSite.of_caller()
        asked = [self._asked(index, given, site) for index, given in enumerate(workflows)]
        return insert_many(cast("Flow[..., Any]", self), conn, asked)

    def _asked(self, index: int, given: object, site: CallSite) -> tuple[Flow[..., Any], Mapping[str, Any]]:
        """This flow with the options of one of many workflows, and its inputs."""
        pair: tuple[Any, Any] = given if isinstance(given, tuple) and len(given) == 2 else (given, {})
        inputs, options = pair
        if not all(isinstance(part, Mapping) and _are_names(part) for part in pair):
            problem = "a mapping of inputs by name, or a pair of one and of options"
            raise TypeError(f"workflows[{index}] must be {problem}, got {given!r:.60}")
        if elsewhere := sorted(options.keys() & _OF_ALL):
            problem = f'workflows[{index}]: option "{elsewhere[0]}" is the same for all that are inserted together'
            advice = f"give it to the flow: flow.options({elsewhere[0]}=...).insert_many(...)"
            raise FlowError([_option(problem, help=advice, flow=self.name)])
        try:
            flow = self._with(options, site) if options else self
        except FlowError as error:
            raise FlowError([finding.in_workflow(index) for finding in error.diagnostics]) from None
        return cast("Flow[..., Any]", flow), inputs


_OF_ALL: Final = FlowOptions.__annotations__.keys() - WorkflowOptions.__annotations__.keys()
"""The options that choose where workflows are stored: the same for all that are inserted together."""


def _are_names(deps: Any) -> bool:
    return not isinstance(deps, str) and not [dep for dep in deps if not isinstance(dep, str)]


def _is_job(candidate: object) -> bool:
    """True for an Oban job, recognized by its attributes, because `import baton_dsl` must not load oban."""
    return all(hasattr(candidate, name) for name in ("worker", "args", "meta", "queue", "max_attempts"))


def _not_a_step(flow: str, given: object, place: Place | None) -> Diagnostic:
    name = getattr(given, "__name__", None) or type(given).__name__
    return _option(
        f'"{name}" is no step',
        help="decorate the function with @step; to add a plain Oban job, use .add(name, Worker.new({...}))",
        flow=flow,
        place=place,
    )
