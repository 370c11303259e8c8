"""The options of a flow: their types, checks and defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, TypedDict

from baton_dsl.core import defaults
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules import option as option_rule
from baton_dsl.core.spec import Option
from baton_dsl.errors import FlowError
from baton_dsl.hooking import Hook, declare, unfit_hook
from baton_dsl.places import CallSite

_option = option_rule.finding


class WorkflowOptions(TypedDict, total=False):
    """Options that may differ for each workflow of a flow.

    Attributes:
        workflow_id: The workflow's own id, at most 255 characters; default: a new UUIDv7.
        workflow_name: A label to find workflows by; default: the flow's name.
        ignore_cancelled: Steps run even if an upstream was cancelled, unless a step says otherwise.
        ignore_discarded: Steps run even if an upstream was discarded, unless a step says otherwise.
        debug: Marks every job (`meta.workflow_debug`) and sets `StepContext.debug`.
        models: The name of a model for each step, available as `StepContext.model`; for a step of several models, their
            names. It overrides the step's own option. `"*"` applies to all steps that have no model otherwise.
        budget: What the calls of models may cost, as an exact number. Before a step starts, it reserves a part of the
            budget (see `max_cost`); if too little is left, it waits until more is approved. Default: no limit.
        on_settled: Called once with the `WorkflowStatus` when the workflow has ended, with any outcome.
        on_cancelled: Called once when the workflow has ended as cancelled.
        on_discarded: Called once when the workflow has ended as discarded.
        hook_queue: The queue in which these three hooks run; default: `default`.
    """

    workflow_id: str | None
    workflow_name: str | None
    ignore_cancelled: bool
    ignore_discarded: bool
    debug: bool
    models: Mapping[str, str | Sequence[str]]
    budget: Decimal | int | None
    on_settled: Hook | None
    on_cancelled: Hook | None
    on_discarded: Hook | None
    hook_queue: str


class FlowOptions(WorkflowOptions, total=False):
    """Options of a flow, or with `Flow.options` of one insert: those of a workflow, and where it is stored.

    Attributes:
        oban: The name of the Oban instance that is used if no connection is passed; default: `Oban`.
        prefix: The schema of Oban's tables; default: that of the Oban instance, else `public`.
    """

    oban: str
    prefix: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`FlowOptions` with every default filled in.

    Attributes:
        models_site: The call that set `models`, if any.
    """

    workflow_id: str | None = None
    workflow_name: str | None = None
    ignore_cancelled: bool = False
    ignore_discarded: bool = False
    debug: bool = False
    models: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    budget: Decimal | int | None = None
    oban: str = "Oban"
    prefix: str | None = None
    on_settled: Hook | None = None
    on_cancelled: Hook | None = None
    on_discarded: Hook | None = None
    hook_queue: str = defaults.QUEUE
    models_site: CallSite | None = field(default=None, compare=False, repr=False)

    def hooks(self) -> dict[str, Hook]:
        """The hooks that are set, by the name of their option."""
        given = {name: getattr(self, name) for name in _HOOKS}
        return {name: hook for name, hook in given.items() if hook is not None}

    def changed(self, options: Mapping[str, Any], site: CallSite | None = None) -> Settings:
        """Copy the settings with some options set. Each is checked.

        Args:
            options: The options to set.
            site: The call that sets them.

        Raises:
            FlowError: BTN305, naming every option that is unknown or of the wrong type.
        """
        given = {name: Option(value=value) for name, value in options.items()}
        if list(wrong_options(given)):
            located = {
                name: option._replace(place=site.keyword(name) if site else None) for name, option in given.items()
            }
            raise FlowError(list(wrong_options(located)))
        changed = replace(self, **options, models_site=site if "models" in options else self.models_site)
        declare(changed.hooks().values())
        return changed


_HOOKS: Final = ("on_settled", "on_cancelled", "on_discarded")
CHECKED: Final = frozenset({"ignore_cancelled", "ignore_discarded", "models"})
"""The options that rules read. If only other options change, the flow need not be checked again."""


def wrong_options(given: Mapping[str, Option]) -> Iterator[Diagnostic]:
    """The findings for the options of a flow. For hooks, this includes what only the function itself shows."""
    yield from option_rule.flow_options({name: option for name, option in given.items() if name not in _HOOKS})
    for name in _HOOKS:
        option = given.get(name)
        if option is not None and option.value is not None and (reason := unfit_hook(option.value)):
            yield _option(f'option "{name}" of a flow must be {option_rule.A_HOOK}, got {reason}', place=option.place)
