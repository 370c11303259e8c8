"""The entry point for mypy: the names that have hooks, and what mypy's cache depends on.

mypy asks for a hook at every call in a program, so each answer is one lookup. What the hooks need is loaded at the
first call of a hooked name, so a run in which all modules come from the cache loads only this file.
"""

from __future__ import annotations

import sys
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, cast

from mypy.nodes import MypyFile
from mypy.options import Options
from mypy.plugin import FunctionSigContext, MethodSigContext, Plugin, ReportConfigContext

from baton_mypy import names, remembered
from baton_mypy.configuration import configured

if TYPE_CHECKING:
    from baton_mypy.hooks import AttributeHook, FunctionHook, Hooks, MethodHook, SignatureHook
    from baton_mypy.settings import Settings


class BatonPlugin(Plugin):
    """Checks flows while their modules are checked. It keeps no state between modules."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._path, self._table = configured(options.config_file)
        if self._table:
            for problem in self._settings.problems:
                sys.stderr.write(f"{problem}\n")

    @cached_property
    def _settings(self) -> Settings:
        return cast("Settings", import_module("baton_mypy.settings").Settings.of(self._table, self._path))

    @cached_property
    def _hooks(self) -> Hooks:
        return cast("Hooks", import_module("baton_mypy.hooks").hooks(self._settings.codes))

    def get_function_hook(self, fullname: str) -> FunctionHook | None:
        """The hook of a function or a class by its full name."""
        return self._hooks.functions[fullname] if fullname in names.FUNCTIONS else None

    def get_method_hook(self, fullname: str) -> MethodHook | None:
        """The hook of a method by its full name."""
        return self._hooks.methods[fullname] if fullname in names.METHODS else None

    def get_method_signature_hook(self, fullname: str) -> SignatureHook[MethodSigContext] | None:
        """The signature hook of a method by its full name."""
        return self._hooks.signatures[fullname] if fullname in names.SIGNATURES else None

    def get_function_signature_hook(self, fullname: str) -> SignatureHook[FunctionSigContext] | None:
        """The signature hook of a function by its full name."""
        return self._hooks.function_signatures[fullname] if fullname in names.FUNCTION_SIGNATURES else None

    def get_attribute_hook(self, fullname: str) -> AttributeHook | None:
        """The hook of an attribute by its full name."""
        return self._hooks.attributes[fullname] if fullname in names.ATTRIBUTES else None

    def get_additional_deps(self, file: MypyFile) -> list[tuple[int, str, int]]:
        """Return none; but in the daemon, mark the module with a symbol that changes with its aliases' metadata."""
        if self.options.fine_grained_incremental and (digest := remembered.metadata(file.path)):
            remembered.mark(file, digest)
        return []

    def report_config_data(self, ctx: ReportConfigContext) -> list[str]:
        """What a module's cache depends on besides its source: the selected rules, and the text of other files."""
        codes = sorted(self._settings.codes) if self._table else []
        return remembered.Expected(codes) if ctx.is_check else remembered.written(ctx.id, codes)
