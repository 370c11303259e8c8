"""Read the options of a flow from one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mypy.nodes import CallExpr

from baton_dsl.core.rules import option as option_rule
from baton_dsl.core.spec import IGNORES, UNKNOWN, Ignores, Option, Place
from baton_mypy.literals import arguments_of, is_true, models_by_step, option
from baton_mypy.report import before, here
from baton_mypy.step_facts import OptionValue

if TYPE_CHECKING:
    from mypy.checker import TypeChecker


class GivenOptions(NamedTuple):
    """The options of one call, as far as they are written out.

    Attributes:
        options: The options by name. mypy itself reports an unknown option.
        places: The place of each.
    """

    options: dict[str, OptionValue]
    places: dict[str, Place]

    @staticmethod
    def of(call: CallExpr, checker: TypeChecker) -> GivenOptions:
        """The keyword arguments of `Flow(...)` or of `.options(...)`."""
        options: dict[str, OptionValue] = {}
        places: dict[str, Place] = {}
        for expression, _, keyword in arguments_of(call):
            if keyword in option_rule.FLOW_CHECKS:
                found = checker.lookup_type_or_none(expression)
                inferred = found or checker.named_type("builtins.object")
                if keyword == "models":
                    options[keyword] = models_by_step(expression, inferred, checker.lookup_type_or_none)
                else:
                    options[keyword] = option(expression, inferred)
                places[keyword] = before(here(checker.path, expression), keyword)
        return GivenOptions(options, places)

    @property
    def ignores(self) -> Ignores:
        """What the call says that steps ignore; what can't be determined counts as no."""
        return Ignores.of({name: is_true(self.options[name]) for name in IGNORES if name in self.options})

    def specs(self) -> dict[str, Option]:
        """The options for the rules."""
        return {
            name: Option(value=value.python if value.is_known else UNKNOWN, place=self.places[name])
            for name, value in self.options.items()
        }
