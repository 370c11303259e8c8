"""`make bench`: every benchmark of this folder, or those that are named: `python -m tests.benchmarks insert build`.

`ROUNDS=2` in the environment measures at most so often, where the usual is more.
"""

import importlib
import sys
import time
import traceback
from pathlib import Path

from tests.benchmarks.report import table

NOT_BENCHMARKS = {"__init__", "__main__", "report", "processes", "databases", "worker_process", "latency_worker"}


def main() -> int:
    """Run them one after the other and print a table each. One that fails does not keep the others from running."""
    found = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_BENCHMARKS)
    failed: list[str] = []
    for name in sys.argv[1:] or found:
        print(f"\n{name}", flush=True)
        start = time.monotonic()
        try:
            print(table(importlib.import_module(f"tests.benchmarks.{name}").run()), flush=True)
        except Exception:  # noqa: BLE001 - it is told, and the others run
            traceback.print_exc()
            failed.append(name)
        print(f"({time.monotonic() - start:.0f} s)", flush=True)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


sys.exit(main())
