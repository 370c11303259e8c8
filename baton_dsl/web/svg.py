"""Draw the graph of a workflow as SVG, without a template because a thousand boxes are half a megabyte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from markupsafe import Markup, escape

from baton_dsl.core.wording import printable
from baton_dsl.web.graph import GLYPHS, Group, Picture
from baton_dsl.web.layout import HEIGHT, WIDTH

MARGIN: Final = 8
"""Pixels around the drawing."""


def drawn(picture: Picture, *, href: Callable[[str], str], unfolded: str) -> Markup:
    """A picture as SVG.

    Args:
        picture: The picture.
        href: Returns the address of a step's page for the name of the step.
        unfolded: The address of the picture in which each step has its own box.
    """
    width, height = picture.width + 2 * MARGIN, picture.height + 2 * MARGIN
    size = f'width="{width}" height="{height}"'
    data = f'data-width="{width}" data-height="{height}"'
    window = f"{-MARGIN} {-MARGIN} {width} {height}"
    parts = [
        f'<svg class="drawing" viewBox="{window}" {data} {size} role="group" aria-label="{picture.steps} steps">\n',
        '<g class="edges" aria-hidden="true">\n',
    ]
    parts += [
        f'<path class="edge{" is-critical" if edge.is_critical else ""}" d="{edge.path}"/>\n' for edge in picture.edges
    ]
    parts.append("</g>\n")
    parts += [_box(group, unfolded if group.is_folded else href(group.key)) for group in picture.groups]
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - all text of users is escaped


def _box(group: Group, href: str) -> str:
    x, y = group.box.x, group.box.y
    has_bar = group.total > 1
    marks = f"is-{escape(group.state)}{' is-critical' if group.is_critical else ''}"
    label = escape(printable(group.label))
    baseline = y + (20 if has_bar else 27)
    behind = bar = ""
    if group.is_folded:
        marks += " is-folded"
        behind = f'<rect class="behind" x="{x + 4}" y="{y + 4}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
    if has_bar:
        filled = "".join(
            f'<rect class="fill is-{escape(state)}" x="{begin}%" width="{share}%" height="6"/>'
            for state, begin, share in group.shares
        )
        bar = f'<svg x="{x + 12}" y="{y + 29}" width="{WIDTH - 24}" height="6">{filled}</svg>'
    return (
        f'<a class="node {marks}" href="{escape(href)}" aria-label="{label}"><title>{label}</title>{behind}'
        f'<rect class="box" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
        f'<text class="glyph" x="{x + 12}" y="{baseline}">{GLYPHS.get(group.state, "●")}</text>'
        f'<text class="name" x="{x + 32}" y="{baseline}">{escape(printable(group.title))}</text>{bar}</a>\n'
    )
