"""`--model STEP=MODEL`: the model that a step runs with."""

from __future__ import annotations

import click


def models_option(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """The callback of an option that may be repeated: the models by step.

    Raises:
        click.BadParameter: If one is not of the form STEP=MODEL, or a step is named twice.
    """
    models: dict[str, str] = {}
    for text in given:
        step, separator, model = text.partition("=")
        if not separator or not step or not model:
            raise click.BadParameter(f"write STEP=MODEL, such as parse=openai:gpt-5-mini; got {text!r}")
        if step in models:
            raise click.BadParameter(f"step {step!r} is given two models")
        models[step] = model
    return models
