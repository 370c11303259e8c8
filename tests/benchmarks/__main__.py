"""`make bench`: every benchmark of this folder, or those that are named: `python -m tests.benchmarks insert build`."""

import importlib
import sys
from pathlib import Path

from tests.benchmarks.report import table

NOT_BENCHMARKS = {"__init__", "__main__", "report", "processes", "databases", "worker_process", "latency_worker"}


def main() -> None:
    """Run them one after the other and print a table each."""
    found = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_BENCHMARKS)
    for name in sys.argv[1:] or found:
        print(f"\n{name}", flush=True)
        print(table(importlib.import_module(f"tests.benchmarks.{name}").run()), flush=True)


main()
