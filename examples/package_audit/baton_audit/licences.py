"""Find the licences of the environment in three kinds of metadata, and what they demand."""

import re
from typing import Final

from baton_audit.facts import Distribution, Family, Licence
from baton_dsl import Each, step

FAMILIES: Final = {
    Family.PERMISSIVE: (
        *(
            "mit",
            "mit-0",
            "mit-cmu",
            "isc",
            "0bsd",
            "bsd",
            "bsd-2-clause",
            "bsd-3-clause",
            "apache",
            "apache-2.0",
            "zlib",
        ),
        *(
            "psf-2.0",
            "python-2.0",
            "python-2.0.1",
            "unlicense",
            "cc0-1.0",
            "bsl-1.0",
            "hpnd",
            "zpl-2.1",
            "blueoak-1.0.0",
        ),
        *("postgresql", "ncsa", "wtfpl", "unicode-3.0"),
    ),
    Family.WEAK_COPYLEFT: (
        *("mpl", "mpl-1.1", "mpl-2.0", "lgpl", "lgpl-2.1", "lgpl-2.1-only", "lgpl-2.1-or-later", "lgpl-3.0"),
        *("lgpl-3.0-only", "lgpl-3.0-or-later", "epl-1.0", "epl-2.0", "cddl-1.0"),
    ),
    Family.STRONG_COPYLEFT: (
        *("gpl", "gpl-2.0", "gpl-2.0-only", "gpl-2.0-or-later", "gpl-3.0", "gpl-3.0-only", "gpl-3.0-or-later"),
        *("agpl", "agpl-3.0", "agpl-3.0-only", "agpl-3.0-or-later", "sspl-1.0", "eupl-1.2"),
    ),
}
"""SPDX identifiers, and the short names that older metadata use."""

_FAMILY_OF: Final = {identifier: family for family, known in FAMILIES.items() for identifier in known}
_ORDER: Final = list(Family)

CLASSIFIERS: Final = {
    "Academic Free License": "AFL-3.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "GNU Affero General Public License v3": "AGPL-3.0",
    "GNU General Public License (GPL)": "GPL",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}
"""Trove classifiers, by their last part, as SPDX identifiers."""


@step
def licences(distributions: Each[Distribution]) -> Licence:
    """The licence of a distribution, and its family."""
    name = licence_of(distributions)
    return Licence(distribution=distributions.name, licence=name, family=family_of(name))


def licence_of(distribution: Distribution) -> str:
    """The SPDX expression (PEP 639), else the classifiers, else the first line of the free text."""
    if distribution.licence_expression:
        return distribution.licence_expression
    named = [line.rsplit(" :: ", 1)[-1] for line in distribution.licence_classifiers]
    named = [name for name in named if name != "OSI Approved"]
    if named:
        return " AND ".join(CLASSIFIERS.get(name, name) for name in named)
    text = (distribution.licence_text or "").strip()
    return text.splitlines()[0].strip()[:60] if text else "unknown"


def family_of(expression: str) -> Family:
    """The family of an SPDX expression: of `A AND B` the more demanding, of `A OR B` the less demanding."""
    tokens = re.findall(r"[()]|[^()\s]+", expression)
    if not any(token in ("AND", "OR", "WITH", "(") for token in tokens):
        return _family_of_name(expression)
    ranks, rest = _alternatives(tokens)
    return _ORDER[ranks] if not rest else Family.UNKNOWN


def _alternatives(tokens: list[str]) -> tuple[int, list[str]]:
    rank, tokens = _conjunction(tokens)
    while tokens[:1] == ["OR"]:
        other, tokens = _conjunction(tokens[1:])
        rank = min(rank, other)
    return rank, tokens


def _conjunction(tokens: list[str]) -> tuple[int, list[str]]:
    rank, tokens = _operand(tokens)
    while tokens[:1] == ["AND"]:
        other, tokens = _operand(tokens[1:])
        rank = max(rank, other)
    return rank, tokens


def _operand(tokens: list[str]) -> tuple[int, list[str]]:
    if tokens[:1] == ["("]:
        rank, tokens = _alternatives(tokens[1:])
        return rank, tokens[1:]
    words: list[str] = []
    while tokens and tokens[0] not in ("AND", "OR", "(", ")"):
        words.append(tokens[0])
        tokens = tokens[1:]
    if "WITH" in words:  # an exception only ever allows more
        words = words[: words.index("WITH")]
    return _ORDER.index(_family_of_name(" ".join(words))), tokens


def _family_of_name(name: str) -> Family:
    plain = re.sub(r"[\s_]+", "-", name.strip().lower().removeprefix("the ")).rstrip("+")
    for candidate in (plain, re.sub(r"-?licen[sc]e(d)?", "", plain).replace(",-version", "").replace("-v", "-")):
        if candidate in _FAMILY_OF:
            return _FAMILY_OF[candidate]
    return Family.UNKNOWN
