"""Find out which modules one process imports together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from baton_lint.program.project import Module, Project
from baton_lint.source.facts import Binding


class Imports:
    """The imports of a project.

    Args:
        project: Finds modules.
        paths: The files that may use baton.
    """

    def __init__(self, project: Project, paths: Iterable[str]) -> None:
        self.project = project
        self._known = frozenset(paths)
        self._reached: dict[str, frozenset[str]] = {}

    def are_together(self, one: str, other: str) -> bool:
        """Whether two files belong to one program: to one package, or both imported by some file of the project.

        A module of tests is a program of its own, because a test runner imports many that are not related.
        """
        if one == other:
            return True
        if _is_test(one) or _is_test(other):
            return False
        if self.project.program(one) == self.project.program(other):
            return True
        return any({one, other} <= self._reach(path) for path in self._known if not _is_test(path))

    def _reach(self, path: str) -> frozenset[str]:
        """A file and all files that it imports, directly or indirectly, as far as they may use baton."""
        if path not in self._reached:
            found = {path}
            waiting = [path]
            while waiting:
                for imported in self._imported(waiting.pop()):
                    if imported not in found and imported in self._known:
                        found.add(imported)
                        waiting.append(imported)
            self._reached[path] = frozenset(found)
        return self._reached[path]

    def _imported(self, path: str) -> Iterator[str]:
        facts = self.project.files.facts(path)
        if facts is None:
            return
        top = facts["scopes"][0]
        found = [*(self._module(path, level, module) for level, module, _ in top["stars"])]
        for binding in top["names"].values():
            found += self._bound(path, binding)
        yield from (module.path for module in found if module is not None and module.path is not None)

    def _bound(self, path: str, binding: Binding) -> list[Module | None]:
        match binding:
            case ("module" | "package", dotted):
                return [self.project.module(path, dotted)]
            case ("from", level, module, name):
                found = self._module(path, level, module)
                return [found, self.project.submodule(found, name) if found is not None else None]
            case ("either", first, second):
                return [*self._bound(path, first), *self._bound(path, second)]
            case _:
                return []

    def _module(self, path: str, level: int, module: str) -> Module | None:
        return self.project.relative(path, level, module) if level else self.project.module(path, module)


def _is_test(path: str) -> bool:
    name = os.path.basename(path)
    return name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"
