"""Import flows and modules that the command line names, such as `app.flows:billing`."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from baton_dsl.core.diagnostics import did_you_mean, quoted
from baton_dsl.core.wording import suggestion, suggestion_after
from baton_dsl.errors import BatonError
from baton_dsl.flow import Flow
from baton_dsl.step import Step

type AnyFlow = Flow[..., Any]


def flow_argument(_ctx: click.Context, _param: click.Parameter, value: str) -> AnyFlow:
    """The callback of an argument that names a flow."""
    try:
        return find_flow(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def module_arguments(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> list[ModuleType]:
    """The callback of an argument that names modules."""
    try:
        return list(map(import_module, value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def find_flow(target: str) -> AnyFlow:
    """Import the flow that a name such as `app.flows:billing` stands for.

    Raises:
        ValueError: With a sentence, if there is no such module or flow.
        BatonError: If the module raises one when it is imported.
    """
    name, _, attribute = target.partition(":")
    module = import_module(name)
    flows = flows_of(module)
    if not attribute:
        if len(flows) == 1:
            return next(iter(flows.values()))
        if not flows:
            raise ValueError(f"{name} holds no flow")
        raise ValueError(f"name a flow of {name}, as in {name}:{next(iter(flows))}; it holds {quoted(flows)}")
    if attribute in flows:
        return flows[attribute]
    found = getattr(module, attribute, None)
    if found is not None:
        kind = "a step" if isinstance(found, Step) else f"of type {type(found).__name__}"
        raise ValueError(f'"{attribute}" of {name} is {kind}, not a flow; {_held(flows)}')
    nearest = did_you_mean(attribute, flows)
    raise ValueError(f'{name} has no flow called "{attribute}"; ' + (suggestion(nearest) or _held(flows)))


def _held(flows: dict[str, AnyFlow]) -> str:
    return f"its flows are {quoted(flows)}" if flows else "it holds no flow"


def flows_of(module: ModuleType) -> dict[str, AnyFlow]:
    """The flows of a module by the names of their variables."""
    return {name: value for name, value in vars(module).items() if isinstance(value, Flow)}


def import_module(name: str) -> ModuleType:
    """Import a module. As with `python -m`, it may be in the current folder.

    Raises:
        ValueError: If there is no such module, or it can't be imported; the message says which.
        BatonError: If the module raises one, because a flow or step in it is wrong.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if name.endswith(".py") and (module := _of_file(name)) is not None:
        raise ValueError(f'"{name}" is a file, not a module name; write {module}')
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f'"{name}" is no module name; write app.flows, not app/flows.py')
    try:
        return importlib.import_module(name)
    except BatonError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (error.name == name or name.startswith(f"{error.name}.")):
            nearest = did_you_mean(name, _beside())
            hint = suggestion_after(nearest)
            raise ValueError(f'there is no module "{error.name}", neither installed nor in {here}{hint}') from error
        raise ValueError(_failure(name, error)) from error
    except Exception as error:
        raise ValueError(_failure(name, error)) from error


def _of_file(path: str) -> str | None:
    """The module name of a file in the current folder; None if it has none."""
    parts = Path(path).with_suffix("").parts
    is_there = Path(path).is_file() and not Path(path).is_absolute()
    return ".".join(parts) if is_there and all(part.isidentifier() for part in parts) else None


def _beside() -> list[str]:
    """The modules and packages of the current folder."""
    files = [path.stem for path in Path().glob("*.py")]
    packages = [path.parent.name for path in Path().glob("*/__init__.py")]
    return [name for name in (*files, *packages) if name.isidentifier()]


def _failure(name: str, error: Exception) -> str:
    """Describe the error of a module in one sentence, with the line of the user's code that raised it."""
    frames = [it for it in traceback.extract_tb(error.__traceback__) if not it.filename.startswith("<frozen")]
    last = frames[-1]
    where = f"{last.filename}:{last.lineno}: " if last.filename != importlib.__file__ else ""
    return f"{name} can't be imported: {where}{type(error).__name__}: {error}"
