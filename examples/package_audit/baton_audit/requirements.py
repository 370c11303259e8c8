"""The dependency graph of the distributions, and its problems."""

from collections import deque

from packaging import requirements as pep508
from packaging.utils import canonicalize_name

from baton_audit.facts import Dependencies, Environment, Inventory, Requirement
from baton_dsl import step


@step
def dependencies(inventory: Inventory, environment: Environment) -> Dependencies:
    """Every requirement that applies in this environment, including those of the extras that others require."""
    installed = {distribution.name: distribution for distribution in inventory.distributions}
    found: dict[tuple[str, str, str, str], Requirement] = {}
    malformed: set[str] = set()
    wanted = deque((name, "") for name in installed)
    seen = set(wanted)
    while wanted:
        name, extra = wanted.popleft()
        for line in installed[name].requires:
            try:
                stated = pep508.Requirement(line)
            except pep508.InvalidRequirement:
                malformed.add(f"{name}: {line}")
                continue
            if not _holds(stated, extra, environment):
                continue
            target = canonicalize_name(stated.name)
            version = installed[target].version if target in installed else None
            found.setdefault(
                (name, target, str(stated.specifier), extra),
                Requirement(
                    source=name,
                    target=target,
                    specifier=str(stated.specifier),
                    extra=extra,
                    installed=version,
                    is_met=version is not None and stated.specifier.contains(version, prereleases=True),
                ),
            )
            for further in sorted(stated.extras):
                pair = (target, canonicalize_name(further))
                if target in installed and pair not in seen:
                    seen.add(pair)
                    wanted.append(pair)
    return Dependencies(requirements=[found[key] for key in sorted(found)], malformed=sorted(malformed))


def _holds(stated: pep508.Requirement, extra: str, environment: Environment) -> bool:
    """Whether a requirement applies for an extra. A requirement without an extra only applies for the empty extra."""
    if stated.marker is None:
        return extra == ""
    without = stated.marker.evaluate({**environment.markers, "extra": ""})
    return without if extra == "" else not without and stated.marker.evaluate({**environment.markers, "extra": extra})


@step
def unmet(dependencies: Dependencies) -> list[Requirement]:
    """Requirements that no installed distribution satisfies."""
    return [requirement for requirement in dependencies.requirements if not requirement.is_met]


@step
def cycles(dependencies: Dependencies) -> list[list[str]]:
    """A shortest cycle through the first distribution of each group of distributions that require each other."""
    asks_for: dict[str, set[str]] = {}
    for requirement in dependencies.requirements:
        if requirement.source != requirement.target:  # `package[all]` naming its own extras is no cycle
            asks_for.setdefault(requirement.source, set()).add(requirement.target)
    found: list[list[str]] = []
    in_cycles: set[str] = set()
    for name in sorted(asks_for):
        if name not in in_cycles and (cycle := _shortest_cycle(name, asks_for)):
            found.append(cycle)
            in_cycles.update(cycle)
    return found


def _shortest_cycle(start: str, asks_for: dict[str, set[str]]) -> list[str] | None:
    """Search breadth-first for a path from a distribution back to itself; None if there is none."""
    came_from: dict[str, str] = {}
    waiting = deque([start])
    while waiting:
        name = waiting.popleft()
        for target in sorted(asks_for.get(name, ())):
            if target == start:
                path = [name]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if target not in came_from:
                came_from[target] = name
                waiting.append(target)
    return None
