"""The audit as a page: HTML put together from escaped pieces, with its style inside."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Final

from baton_audit.facts import Audit, Family, Level

UNITS: Final = ("B", "kB", "MB", "GB")
BARS: Final = 10


def readable(count: float) -> str:
    """Format bytes for people: `12.3 MB`."""
    for unit in UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {UNITS[-1]}"


def page_of(audit: Audit) -> str:
    """The whole page."""
    here = audit.environment
    parts = [
        _header(audit),
        _cards(audit),
        _section("Findings", _findings(audit)),
        '<div class="pair">',
        _section("Largest on disk", _sizes(audit)),
        _section("Slowest to import", _imports(audit)),
        "</div>",
        _section("Licences", _licences(audit)),
        _section("Everything that is installed", _inventory(audit)),
    ]
    style = resources.files("baton_audit").joinpath("page.css").read_text("utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Package audit of Python {escape(here.python)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{"\n".join(parts)}
</main>
</body>
</html>
"""


def _header(audit: Audit) -> str:
    here = audit.environment
    return (
        f"<header><h1>Package audit</h1><p>{escape(here.implementation)} {escape(here.python)} on "
        f"{escape(here.platform)}<br><code>{escape(here.folder)}</code></p></header>"
    )


def _cards(audit: Audit) -> str:
    needs = audit.dependencies.requirements
    unmet = sum(not need.is_met for need in needs)
    slowest = max((cost.milliseconds or 0 for cost in audit.import_costs), default=0)
    cards = (
        (f"{len(audit.inventory.distributions):,}", "distributions", ""),
        (readable(sum(size.bytes for size in audit.sizes)), f"in {sum(it.files for it in audit.sizes):,} files", ""),
        (f"{len(needs):,}", "requirements between them", ""),
        (f"{unmet:,}", "unmet", "bad" if unmet else "good"),
        (f"{len(audit.cycles):,}", "cycles", "warn" if audit.cycles else "good"),
        (f"{slowest:,.0f} ms", "slowest import", ""),
    )
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="card {tone}"><b>{escape(value)}</b><span>{escape(label)}</span></div>'
            for value, label, tone in cards
        )
        + "</div>"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _findings(audit: Audit) -> str:
    if not audit.findings:
        return '<p class="calm">Nothing to mend: every requirement is met, and every import that was tried works.</p>'
    rows = "".join(
        f'<li class="{"bad" if found.level is Level.PROBLEM else "warn"}"><em>{escape(found.level)}</em>'
        f"<p><b>{escape(found.subject)}</b> {escape(found.message)}</p></li>"
        for found in audit.findings
    )
    return f'<ul class="findings">{rows}</ul>'


def _sizes(audit: Audit) -> str:
    return _bars([(size.distribution, size.bytes, readable(size.bytes)) for size in audit.sizes[:BARS]])


def _imports(audit: Audit) -> str:
    timed = [
        (cost.module, cost.milliseconds, f"{cost.milliseconds:,.1f} ms")
        for cost in audit.import_costs
        if cost.milliseconds is not None
    ]
    return _bars(timed) if timed else '<p class="calm">No import was timed.</p>'


def _bars(rows: Sequence[tuple[str, float, str]]) -> str:
    largest = max((value for _, value, _ in rows), default=1) or 1
    lines = "".join(
        f'<div class="bar"><span title="{escape(name)}">{escape(name)}</span>'
        f'<i><i style="width:{100 * value / largest:.1f}%"></i></i><b>{escape(told)}</b></div>'
        for name, value, told in rows
    )
    return f'<div class="bars">{lines}</div>'


def _licences(audit: Audit) -> str:
    total = len(audit.licences) or 1
    families = Counter(licence.family for licence in audit.licences)
    present = [family for family in Family if families[family]]
    stack = "".join(
        f'<i class="{_tone(family)}" style="width:{100 * families[family] / total:.2f}%"></i>' for family in present
    )
    legend = ""
    for family in present:
        names = Counter(licence.licence for licence in audit.licences if licence.family is family).most_common()
        told = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in names)
        legend += (
            f'<li><i class="{_tone(family)}"></i><p><b>{families[family]} {escape(family)}</b> {escape(told)}</p></li>'
        )
    return f'<div class="stack">{stack}</div><ul class="legend">{legend}</ul>'


def _tone(family: Family) -> str:
    return family.value.replace(" ", "-")


def _inventory(audit: Audit) -> str:
    size = {it.distribution: it.bytes for it in audit.sizes}
    licence = {it.distribution: it for it in audit.licences}
    asks_for = Counter(source for source, _ in {(it.source, it.target) for it in audit.dependencies.requirements})
    is_asked = Counter(target for _, target in {(it.source, it.target) for it in audit.dependencies.requirements})
    rows = "".join(
        f"<tr><td><b>{escape(it.name)}</b><small>{escape(it.summary)}</small></td><td>{escape(it.version)}</td>"
        f'<td><i class="{_tone(licence[it.name].family)}"></i>{escape(licence[it.name].licence)}</td>'
        f"<td>{readable(size.get(it.name, 0))}</td><td>{asks_for[it.name]}</td><td>{is_asked[it.name]}</td></tr>"
        for it in audit.inventory.distributions
    )
    return (
        '<div class="wide"><table><thead><tr><th>distribution</th><th>version</th><th>licence</th><th>size</th>'
        f"<th>asks for</th><th>asked for by</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
