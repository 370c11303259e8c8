"""BTN306: a step that a worker can't import by name."""

from collections.abc import Iterable, Iterator
from typing import Final

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule
from baton_dsl.core.spec import StepSpec

finding = Finder("BTN306", "baton-unimportable-step")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each method, lambda and nested function."""
    for step in context.flow.steps:
        if step.unimportable is not None:
            yield finding(
                f'step "{step.name}" is {step.unimportable}, which a worker can\'t import by name',
                help="make it a function of a module, or a static method of a class of a module",
                step=step.name,
                place=step.place,
            )


_OF_A_SCRIPT: Final = 'of a script, which ran as "__main__": no worker can import it by name'
_HAVE_A_NAME: Final = "move it to a module, or run the script as one: python -m NAME"


def steps_of_a_script(steps: Iterable[StepSpec]) -> Iterator[Diagnostic]:
    """A finding for each step that is defined in a script, which only an insert can know."""
    for step in steps:
        yield finding(f'step "{step.name}" is {_OF_A_SCRIPT}', help=_HAVE_A_NAME, step=step.name, place=step.place)


def hook_of_a_script(hook: str) -> Diagnostic:
    """The finding for a hook that is defined in a script."""
    return finding(f"{hook} is {_OF_A_SCRIPT}", help=_HAVE_A_NAME)


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a method, lambda or nested function as a step",
    why=(
        "A job is a row that says which function to run; a worker in another process imports it by module and name. "
        "A function made inside another exists only there."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

def make() -> Flow:
    @step
    def charge() -> int:
        return 1

    return Flow("shop", charge)

shop = make()
""",
            ('5:9: BTN306: step "charge" is a function inside a function, which a worker can\'t import by name',),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Flow, step

class Billing:
    @staticmethod
    @step
    def charge() -> int:
        return 1

shop = Flow("shop", Billing.charge)
"""
        ),
    ),
    run=run,
    at_validate=False,
)
