"""The values that steps pass to each other: pydantic models, validated on their way through the database."""

from enum import StrEnum

from pydantic import BaseModel


class Environment(BaseModel):
    """The interpreter that the audit runs in."""

    python: str
    implementation: str
    platform: str
    folder: str
    """`sys.prefix`."""
    markers: dict[str, str]
    """What environment markers in requirements are compared with (PEP 508)."""


class Distribution(BaseModel):
    """One installed distribution, as its metadata describe it."""

    name: str
    """Normalized: lower case, with dashes (PEP 503)."""
    version: str
    summary: str
    licence_expression: str | None
    licence_text: str | None
    licence_classifiers: list[str]
    requires: list[str]
    modules: list[str]
    """Top-level modules and packages that it brings."""


class Inventory(BaseModel):
    """Everything that is installed."""

    distributions: list[Distribution]
    shadowed: list[str]
    """Distributions that are installed twice; the first on `sys.path` counts."""
    unreadable: list[str]
    """Folders whose metadata have no name or version."""


class Family(StrEnum):
    """What a licence demands of those who pass the software on, from the least to the most."""

    PERMISSIVE = "permissive"
    WEAK_COPYLEFT = "weak copyleft"
    STRONG_COPYLEFT = "strong copyleft"
    UNKNOWN = "unknown"


class Licence(BaseModel):
    """The licence of one distribution."""

    distribution: str
    licence: str
    family: Family


class Size(BaseModel):
    """The disk space that one distribution takes."""

    distribution: str
    bytes: int
    files: int


class Requirement(BaseModel):
    """One distribution requires another."""

    source: str
    target: str
    specifier: str
    """Versions it accepts; empty for any."""
    extra: str
    """The extra of `source` that brings it; empty for none."""
    installed: str | None
    """The version that is there."""
    is_met: bool


class Dependencies(BaseModel):
    """The dependency graph of the environment."""

    requirements: list[Requirement]
    malformed: list[str]
    """Requirements that can't be parsed, with who states them."""


class ImportCost(BaseModel):
    """What the first import of a package costs, in a fresh interpreter."""

    distribution: str
    module: str
    milliseconds: float | None
    """None if it could not be imported."""
    modules: int
    """How many modules came with it."""
    error: str | None


class Level(StrEnum):
    """How much a finding matters."""

    PROBLEM = "problem"
    NOTICE = "notice"


class Finding(BaseModel):
    """A finding that a maintainer of the environment should know."""

    level: Level
    subject: str
    message: str


class Audit(BaseModel):
    """All results of the audit."""

    environment: Environment
    inventory: Inventory
    licences: list[Licence]
    sizes: list[Size]
    dependencies: Dependencies
    cycles: list[list[str]]
    import_costs: list[ImportCost]
    findings: list[Finding]


class Report(BaseModel):
    """The audit as text and as a page."""

    text: str
    html: str
