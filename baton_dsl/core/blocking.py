"""Names of well-known blocking calls, in a module of their own that is cheap to import for the source reader."""

_HTTP = "await an asynchronous client, such as httpx.AsyncClient"
_PROCESS = "await asyncio.create_subprocess_exec(...)"
IN_A_THREAD = "await asyncio.to_thread(...)"

BLOCKING: dict[str, str] = {
    "time.sleep": "await asyncio.sleep(...)",
    **{
        f"{module}.{verb}": _HTTP
        for module in ("requests", "httpx")
        for verb in ("get", "post", "put", "patch", "delete", "head", "options", "request")
    },
    "urllib.request.urlopen": _HTTP,
    "urllib.request.urlretrieve": _HTTP,
    **{
        f"subprocess.{name}": _PROCESS
        for name in ("run", "call", "check_call", "check_output", "getoutput", "getstatusoutput")
    },
    **{f"os.{name}": _PROCESS for name in ("system", "popen", "wait", "waitpid")},
    "socket.create_connection": "await asyncio.open_connection(...)",
    "socket.getaddrinfo": "await asyncio.get_running_loop().getaddrinfo(...)",
    "socket.gethostbyname": "await asyncio.get_running_loop().getaddrinfo(...)",
    "psycopg.connect": "await psycopg.AsyncConnection.connect(...)",
    "psycopg2.connect": "await psycopg.AsyncConnection.connect(...)",
    "sqlite3.connect": IN_A_THREAD,
    "shutil.copytree": IN_A_THREAD,
    "shutil.rmtree": IN_A_THREAD,
    "shutil.make_archive": IN_A_THREAD,
    "builtins.input": IN_A_THREAD,
}
"""Calls that block the event loop: their full names, each with what to do instead."""
