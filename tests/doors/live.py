"""Import every module of a folder, and print the findings of its flows, one a line; the tests run it."""

import importlib
import json
import sys
from pathlib import Path

from baton_dsl import Flow, FlowError
from baton_dsl.core.diagnostics import Diagnostic


def main(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    flows: dict[int, Flow] = {}
    found: list[Diagnostic] = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        try:
            module = importlib.import_module(name)
        except FlowError as error:  # a wrong option is refused where it is given
            found += error.diagnostics
            continue
        flows |= {id(value): value for value in vars(module).values() if isinstance(value, Flow)}
    for flow in flows.values():
        found += flow.diagnostics()
        try:
            flow.validate()
        except FlowError:
            pass
        else:
            assert not any(finding.code not in ("BTN306",) for finding in flow.diagnostics())
    for finding in found:
        place = finding.place
        assert place is not None, finding
        shown = str(Path(place.path).relative_to(folder))
        print(json.dumps([shown, place.line, place.column, finding.code, finding.message]))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
