"""`baton web`: serve the dashboard."""

from __future__ import annotations

import logging
from types import ModuleType

import click
import uvicorn

from baton_dsl import web
from baton_dsl.cli import database, logging_of_a_worker, target, terminal
from baton_dsl.cli.exits import Exit, FailedError
from baton_dsl.web import access
from baton_dsl.web.access import Authorize


def _authorize(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Authorize | None:
    """The callback of `--authorize`: import the function that it names."""
    if value is None:
        return None
    name, _, attribute = value.partition(":")
    try:
        module = target.import_module(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    found: Authorize | None = getattr(module, attribute or "authorize", None)
    if not callable(found):
        raise click.BadParameter(f'{name} has no function "{attribute or "authorize"}"')
    return found


@click.command("web")
@click.argument("modules", metavar="[MODULE]...", nargs=-1, callback=target.module_arguments)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=4040, show_default=True, help="The port; 0 chooses a free one."
)
@click.option(
    "--authorize",
    metavar="MODULE:FUNCTION",
    callback=_authorize,
    help='A function that takes the request and returns None, "read" or "operate". Without it, only this machine can '
    "open the dashboard, and may do everything.",
)
@click.option("--root-path", default="", metavar="PATH", help="The path under which a proxy serves the dashboard.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What to log to standard error.",
)
@click.option(
    "--log-format",
    type=click.Choice(logging_of_a_worker.FORMATS),
    default="text",
    show_default=True,
    help="The format of the log, including the line for each action.",
)
@database.options
def command(
    modules: list[ModuleType],
    host: str,
    port: int,
    authorize: Authorize | None,
    root_path: str,
    log_level: str,
    log_format: str,
    dsn: str | None,
    prefix: str,
) -> int:
    """Serve the dashboard, which shows workflows in a browser and lets operators act on them.

    If you name the MODULES of your flows, the dashboard also shows which running workflows their code can't finish.
    Each action writes a line to standard error.

    \b
    Examples:
      baton web
      baton web app.flows --host 0.0.0.0 --authorize app.auth:may
    """
    access.check_bound(host, authorize)
    logging_of_a_worker.set_up(log_level, log_format, runs_steps=False)
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if log_level == "debug" else logging.WARNING)
    packages = sorted({module.__name__.partition(".")[0] for module in modules})
    with database.opened(dsn, prefix) as found:
        served = web.app(found.dsn, prefix=found.prefix, authorize=authorize, packages=packages)
        config = uvicorn.Config(
            served,
            host=host,
            port=port,
            root_path=root_path,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=3,
        )
        try:
            listening = config.bind_socket()
        except SystemExit:  # uvicorn has logged why
            raise FailedError(f"port {port} of {host} can't be listened on; choose another with --port") from None
        shown = f"[{host}]" if ":" in host else host
        bound = listening.getsockname()[1]
        terminal.echo(f"The dashboard: http://{shown}:{bound}{root_path}/  (Ctrl-C ends it)", err=True)
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
    return Exit.DONE
