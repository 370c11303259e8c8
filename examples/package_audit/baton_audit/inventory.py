"""What is installed: the two steps that wait for nothing, and the collection that maps run over."""

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
    """Which Python this is."""
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=platform.platform(terse=True),
        folder=sys.prefix,
        markers={name: str(value) for name, value in default_environment().items()},
    )


@step
def inventory() -> Inventory:
    """Everything that `importlib.metadata` sees, the first of each name, as `import` would."""
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
    """What the maps behind it run over: a collection, one item for each distribution."""
    return inventory.distributions


def _modules(distribution: metadata.Distribution) -> Iterator[str]:
    """The names that the distribution puts on `sys.path`, read from the list of its files."""
    for file in distribution.files or ():
        first = file.parts[0]
        if len(file.parts) > 1 and first.isidentifier() and file.suffix in (".py", ".so", ".pyd"):
            yield first
        elif len(file.parts) == 1 and file.suffix == ".py" and file.stem.isidentifier():
            yield file.stem
