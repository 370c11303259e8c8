"""`--model STEP=MODEL`: which model a step runs with."""

from __future__ import annotations

import click


def models_option(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """The models by step, as a callback of an option that may be given several times.

    Raises:
        click.BadParameter: If one is not of the form STEP=MODEL, or a step is named twice.
    """
    models: dict[str, str] = {}
    for text in given:
        step, separator, model = text.partition("=")
        if not separator or not step or not model:
            raise click.BadParameter(f"{text!r} must be STEP=MODEL, such as parse=openai:gpt-5-mini")
        if step in models:
            raise click.BadParameter(f"step {step!r} is given two models")
        models[step] = model
    return models
