"""Find the words to search for besides our own name: modules that re-export it, and flows that others use."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from baton_lint.program.known import BATON, OURS
from baton_lint.program.project import PACKAGE
from baton_lint.search.prefilter import WORD, Needle, importing
from baton_lint.source.facts import Binding, FileFacts

_EXPORTS = frozenset(name for full_name, name in OURS.items() if full_name == f"{BATON}.{name}")


def needles_for(facts: Mapping[str, FileFacts]) -> tuple[Needle, ...]:
    """The needles that find every file that matters, from the files that are known to matter.

    A project with its own `from app.dsl import step` does not mention "baton_dsl" in the modules of its steps, and a
    module that inserts a flow may mention only the flow's name.
    """
    exports: dict[str, set[str]] = {}
    packages: set[str] = set()
    flows: set[bytes] = set()
    grew = True
    while grew:
        grew = False
        for path, file in facts.items():
            names = _handed_on(path, file, exports)
            leaf = _leaf(path)
            if names and path.endswith(PACKAGE):
                packages.add(leaf)
            if names - exports.get(leaf, set()):
                exports.setdefault(leaf, set()).update(names)
                grew = True
    for file in facts.values():
        flows |= _flow_names(file)
    needles = [WORD]
    needles += [importing(leaf, names, is_package=leaf in packages) for leaf, names in exports.items()]
    if flows:
        needles.append(
            ((b".insert(", b".insert_many(", b".add(", b".bind(", b".options(", b"replace="), tuple(sorted(flows)))
        )
    return tuple(sorted(needles, key=lambda needle: (needle != WORD, needle)))


def _leaf(path: str) -> str:
    """The last part of a module's import name."""
    folder, name = os.path.split(path)
    return os.path.basename(folder) if name == PACKAGE else name.removesuffix(".py")


def _handed_on(path: str, file: FileFacts, exports: Mapping[str, set[str]]) -> set[str]:
    """Our public names, as this module names them, that other modules may import from it."""
    is_package = path.endswith(PACKAGE)
    found: set[str] = set()
    for name, binding in _bindings(file):
        if binding[0] == "from":
            module = str(binding[2])
            ours = module.partition(".")[0] == BATON and binding[3] in _EXPORTS
            if ours or binding[3] in exports.get(module.rpartition(".")[2], ()):
                found.add(name)
            found |= exports.get(binding[3], set())  # `from app import dsl` re-exports all of it
        elif binding[0] == "module":
            module = str(binding[1])
            found |= _EXPORTS if module.partition(".")[0] == BATON else exports.get(module.rpartition(".")[2], set())
        elif binding[0] == "value" and not is_package and _makes_decorator(file, binding[1]):
            found.add(name)
    for level, module, *_ in file["scopes"][0]["stars"]:
        if module.partition(".")[0] == BATON and not level:
            found |= _EXPORTS
        found |= exports.get(module.rpartition(".")[2], set())
    return found


def _bindings(file: FileFacts) -> Iterator[tuple[str, Binding]]:
    for name, binding in file["scopes"][0]["names"].items():
        for part in binding[1:] if binding[0] == "either" else (binding,):
            yield name, part


def _makes_decorator(file: FileFacts, expression: object) -> bool:
    """True for an assignment that looks like `llm_step = step(queue="llm")`."""
    if not isinstance(expression, tuple) or expression[0] != "call" or expression[3]:
        return False
    root = expression[2]
    binding = file["scopes"][0]["names"].get(root[2]) if root[0] == "name" else None
    return binding is not None and binding[0] == "from" and binding[3] == "step"


def _flow_names(file: FileFacts) -> set[bytes]:
    """Top-level variables of a module that may contain a flow: those that are set to the result of a call."""
    if not file["calls"]:
        return set()
    called = {call["expression"][1][:2] for call in file["calls"] if call["scope"] == 0}
    return {
        name.encode()
        for name, binding in file["scopes"][0]["names"].items()
        if binding[0] == "value" and isinstance(binding[1], tuple) and binding[1][1][:2] in called
    }
