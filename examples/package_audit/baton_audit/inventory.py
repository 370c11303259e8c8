"""The installed distributions: the two steps without upstreams, and the collection that the maps run over."""

import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.markers import default_environment
from packaging.utils import canonicalize_name

from baton_audit.facts import Distribution, Environment, Inventory
from baton_dsl import step


@step
def environment() -> Environment:
    """Describe this Python."""
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=platform.platform(terse=True),
        folder=sys.prefix,
        markers={name: str(value) for name, value in default_environment().items()},
    )


@step
def inventory() -> Inventory:
    """All distributions that `importlib.metadata` sees; of each name the first one, which `import` would find."""
    found: dict[str, Distribution] = {}
    shadowed: list[str] = []
    unreadable: list[str] = []
    for distribution in metadata.distributions():
        told = distribution.metadata
        if not told.get("Name") or not told.get("Version"):
            unreadable.append(str(distribution.locate_file("")))
        elif (name := canonicalize_name(told["Name"])) in found:
            shadowed.append(f"{name} {told['Version']}")
        else:
            found[name] = Distribution(
                name=name,
                version=told["Version"],
                summary=told.get("Summary") or "",
                licence_expression=told.get("License-Expression"),
                licence_text=told.get("License"),
                licence_classifiers=[it for it in told.get_all("Classifier") or [] if it.startswith("License ::")],
                requires=distribution.requires or [],
                modules=sorted(set(_modules(distribution))),
            )
    by_name = sorted(found.values(), key=lambda distribution: distribution.name)
    return Inventory(distributions=by_name, shadowed=sorted(shadowed), unreadable=sorted(unreadable))


@step
def distributions(inventory: Inventory) -> list[Distribution]:
    """The collection that the maps run over, with one item for each distribution."""
    return inventory.distributions


def _modules(distribution: metadata.Distribution) -> Iterator[str]:
    """The importable names that a distribution installs, read from its list of files."""
    for file in distribution.files or ():
        first = file.parts[0]
        if len(file.parts) > 1 and first.isidentifier() and file.suffix in (".py", ".so", ".pyd"):
            yield first
        elif len(file.parts) == 1 and file.suffix == ".py" and file.stem.isidentifier():
            yield file.stem
