"""The costs of the environment: disk space, and the time of the first import."""

import asyncio
import contextlib
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from baton_audit.facts import Distribution, ImportCost, Inventory, Size
from baton_dsl import Each, Input, step

PATIENCE: Final = 30.0
"""Seconds that one import may take."""

NOT_IMPORTED: Final = frozenset({"pip", "setuptools", "wheel", "tests", "test"})


@step
def sizes(distributions: Each[Distribution]) -> Size:
    """The disk space that a distribution takes. A sync step, because reading it blocks."""
    total, count = 0, 0
    for file in metadata.distribution(distributions.name).files or ():
        with contextlib.suppress(OSError):  # a list of files may name some that are gone
            total += Path(str(file.locate())).stat().st_size
            count += 1
    return Size(distribution=distributions.name, bytes=total, files=count)


@step
def import_candidates(inventory: Inventory, sizes: list[Size], imports: Input[int] = 10) -> list[tuple[str, str]]:
    """The largest distributions that contain a package, each with that package, to time their imports."""
    modules = {distribution.name: distribution.modules for distribution in inventory.distributions}
    chosen: list[tuple[str, str]] = []
    for size in largest_first(sizes):
        name = size.distribution
        public = [module for module in modules[name] if not module.startswith("_") and module not in NOT_IMPORTED]
        if public and len(chosen) < imports:
            alike = name.replace("-", "_")
            chosen.append((name, alike if alike in public else public[0]))
    return chosen


def largest_first(sizes: list[Size]) -> list[Size]:
    """The sizes, largest first."""
    return sorted(sizes, key=lambda size: (-size.bytes, size.distribution))


@step(timeout=60, max_attempts=3, max_concurrency=2)
async def import_costs(import_candidates: Each[tuple[str, str]]) -> ImportCost:
    """Import a candidate in a new interpreter, at most two at once, since more would slow each other down."""
    distribution, module = import_candidates
    return await import_cost(distribution, module)


async def import_cost(distribution: str, module: str) -> ImportCost:
    """Time one import with `python -X importtime`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-X", "importtime", "-c", f"import {module}"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            _, told = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return _failed(distribution, module, f"took more than {PATIENCE:g} s")
    lines = told.decode(errors="replace").splitlines()
    if process.returncode != 0:
        said = [line for line in lines if line and not line.startswith("import time:")]
        return _failed(distribution, module, said[-1][:200] if said else f"exit code {process.returncode}")
    microseconds, count = read_import_times(lines, module)
    return ImportCost(
        distribution=distribution,
        module=module,
        milliseconds=None if microseconds is None else microseconds / 1000,
        modules=count,
        error=None if microseconds is not None else "was imported before it could be timed",
    )


def _failed(distribution: str, module: str, error: str) -> ImportCost:
    return ImportCost(distribution=distribution, module=module, milliseconds=None, modules=0, error=error)


IMPORTED: Final = re.compile(r"import time:\s+\d+ \|\s+(?P<cumulative>\d+) \|(?P<indent> +)(?P<module>\S+)")


def read_import_times(lines: list[str], module: str) -> tuple[int | None, int]:
    """The cumulative microseconds of a module in the report of `-X importtime`, and how many modules it imported.

    The report lists a module behind those that it imports, which are indented deeper.
    """
    brought = 0
    for line in lines:
        entry = IMPORTED.fullmatch(line.rstrip())
        if entry is None:
            continue
        brought += 1
        if len(entry["indent"]) == 1:  # the outermost: what the command itself imported
            if entry["module"] == module:
                return int(entry["cumulative"]), brought
            brought = 0
    return None, 0
