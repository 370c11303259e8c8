"""The part of BTN305 about models: which values the options of steps and flows may have."""

from collections.abc import Iterable, Mapping
from typing import Final

from baton_dsl.core.rules.rule import Example
from baton_dsl.core.spec import UNKNOWN
from baton_dsl.core.wording import unstorable

LONGEST_MODEL: Final = 255
"""The most characters of a model's name."""
MOST_MODELS: Final = 100
"""The most models of one step."""


def wrong_models(value: object) -> str | None:
    """What the models of a step must be, or None if they are right or unknown: one, or several different ones."""
    if not isinstance(value, list | tuple):
        return None if _wrong_model(value) is None else f"{_wrong_model(value)}, or a tuple of several"
    if not 1 <= len(value) <= MOST_MODELS:
        return f"1 to {MOST_MODELS} names of models, or the name of one"
    known = [model for model in value if model is not UNKNOWN]
    if wrong := next(filter(None, map(_wrong_model, known)), None):
        return f"several names, each of them {wrong}"
    return None if len(set(known)) == len(known) else "names of different models"


def wrong_models_by_step(value: object) -> str | None:
    """What the models of a flow must be, or None if they are right."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return "a mapping of step names to model names"
    if reason := _unstorable(value):
        return reason
    for name, models in value.items():
        if models is not UNKNOWN and (expected := wrong_models(models)):
            return f'a mapping of step names to model names, in which that of "{name}" is {expected}'
    return None


def _wrong_model(value: object) -> str | None:
    if not isinstance(value, str) or not value or value != value.strip():
        return "the name of a model, without blanks at its ends"
    if len(value) > LONGEST_MODEL:
        return f"the name of a model, at most {LONGEST_MODEL} characters long"
    return _unstorable((value,))


def _unstorable(texts: Iterable[str]) -> str | None:
    return next((f"names that PostgreSQL can store ({reason})" for reason in map(unstorable, texts) if reason), None)


BAD: Final = (
    Example(
        """\
from baton_dsl import Flow, StepContext, step

@step(models=["anthropic:a", "anthropic:a"])
def assess(context: StepContext) -> int:
    return 1

review = Flow("review", assess)
""",
        (
            (
                '3:7: BTN305: option "models" of step "assess" must be names of different models, '
                "got ['anthropic:a', 'anthropic:a']"
            ),
        ),
    ),
    Example(
        """\
from baton_dsl import Flow, StepContext, step

@step(models="anthropic:a")
def assess(context: StepContext) -> int:
    return 1

review = Flow("review", assess, models={"assess": " "})
""",
        (
            (
                '7:33: BTN305: option "models" of a flow must be a mapping of step names to model names, in which '
                'that of "assess" is the name of a model, without blanks at its ends, or a tuple of several, '
                "got {'assess': ' '}"
            ),
        ),
    ),
)
