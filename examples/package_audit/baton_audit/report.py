"""Summarize: the findings, and the audit as text and as a page."""

from collections import Counter
from typing import Final

from baton_audit.facts import (
    Audit,
    Dependencies,
    Environment,
    Family,
    Finding,
    ImportCost,
    Inventory,
    Level,
    Licence,
    Report,
    Requirement,
    Size,
)
from baton_audit.page import page_of, readable
from baton_audit.weight import largest_first
from baton_dsl import step

SLOW: Final = 500
"""Milliseconds of a first import that are worth a notice."""
SHOWN: Final = 8


@step
def findings(
    inventory: Inventory,
    dependencies: Dependencies,
    licences: list[Licence],
    unmet: list[Requirement],
    cycles: list[list[str]],
    import_costs: list[ImportCost],
) -> list[Finding]:
    """The findings for a maintainer, problems first."""
    problem, notice = Level.PROBLEM, Level.NOTICE
    found = [(problem, folder, "has metadata without a name or version") for folder in inventory.unreadable]
    found += [(problem, need.source, _unmet(need)) for need in unmet]
    found += [
        (problem, line.split(":")[0], f"states a malformed requirement: {line}") for line in dependencies.malformed
    ]
    found += [(notice, name, "is installed twice; another one comes first on sys.path") for name in inventory.shadowed]
    found += [
        (notice, cost.module, f"can't be imported by itself: {cost.error}") for cost in import_costs if cost.error
    ]
    found += [(notice, cycle[0], f"depends on itself: {' → '.join([*cycle, cycle[0]])}") for cycle in cycles]
    for licence in licences:
        if licence.family is Family.STRONG_COPYLEFT:
            found.append((notice, licence.distribution, f"is under a strong copyleft licence: {licence.licence}"))
        elif licence.family is Family.UNKNOWN:
            found.append(
                (notice, licence.distribution, f"is under a licence that the audit can't tell: {licence.licence}")
            )
    found += [
        (notice, cost.module, f"takes {cost.milliseconds:,.0f} ms to import")
        for cost in import_costs
        if cost.milliseconds and cost.milliseconds > SLOW
    ]
    return [Finding(level=level, subject=subject, message=message) for level, subject, message in found]


def _unmet(need: Requirement) -> str:
    extra = f" (for its extra {need.extra!r})" if need.extra else ""
    there = f"{need.installed} is installed" if need.installed else "it is not installed"
    return f"needs {need.target}{need.specifier}{extra}, but {there}"


@step
def audit(
    environment: Environment,
    inventory: Inventory,
    licences: list[Licence],
    sizes: list[Size],
    dependencies: Dependencies,
    cycles: list[list[str]],
    import_costs: list[ImportCost],
    findings: list[Finding],
) -> Audit:
    """All results in one value, with the largest and the slowest first."""
    return Audit(
        environment=environment,
        inventory=inventory,
        licences=licences,
        sizes=largest_first(sizes),
        dependencies=dependencies,
        cycles=cycles,
        import_costs=sorted(import_costs, key=lambda cost: (-(cost.milliseconds or 0), cost.module)),
        findings=findings,
    )


@step
def text(audit: Audit) -> str:
    """The audit for a terminal of 100 columns."""
    here = audit.environment
    needs = audit.dependencies.requirements
    unmet = sum(not need.is_met for need in needs)
    room, files = readable(sum(size.bytes for size in audit.sizes)), sum(size.files for size in audit.sizes)
    names = {licence.licence for licence in audit.licences}
    families = Counter(licence.family for licence in audit.licences)
    told = ", ".join(f"{families[family]} {family}" for family in Family if families[family])
    largest = audit.sizes[0].bytes if audit.sizes else 0
    lines = [
        f"{here.implementation} {here.python} on {here.platform}",
        f"  {here.folder}",
        "",
        f"  distributions  {len(audit.inventory.distributions):>6}   {room} in {files:,} files",
        f"  requirements   {len(needs):>6}   {unmet} unmet, {len(audit.cycles)} cycles",
        f"  licences       {len(names):>6}   {told}",
        "",
        "Largest on disk",
    ]
    lines += [_bar(size.distribution, size.bytes, largest, readable(size.bytes)) for size in audit.sizes[:SHOWN]]
    timed = [cost for cost in audit.import_costs if cost.milliseconds is not None]
    if timed:
        slowest = timed[0].milliseconds or 1
        lines += ["", "Slowest to import, in a fresh interpreter"]
        lines += [
            _bar(
                cost.module,
                cost.milliseconds or 0,
                slowest,
                f"{cost.milliseconds:,.1f} ms, {cost.modules} {'module' if cost.modules == 1 else 'modules'}",
            )
            for cost in timed
        ]
    lines += ["", f"Findings: {len(audit.findings)}" if audit.findings else "Findings: none"]
    lines += [f"  {found.level:<8} {found.subject} {found.message}" for found in audit.findings]
    return "\n".join(lines)


def _bar(name: str, value: float, largest: float, told: str) -> str:
    return f"  {name[:24]:<24} {'█' * round(24 * value / (largest or 1)):<24} {told}"


@step
def page(audit: Audit) -> str:
    """The audit as one HTML file that needs nothing else."""
    return page_of(audit)


@step
def report(text: str, page: str) -> Report:
    """The audit as text and as a page."""
    return Report(text=text, html=page)
