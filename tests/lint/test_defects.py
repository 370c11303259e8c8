"""A correct random flow has no finding; if one defect is put into it, that defect is found at its place."""

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lint.support import lint, write

TYPES = {"int": "1", "str": "'a'", "list[int]": "[1]", "dict[str, int]": "{}"}


@dataclass
class Shape:
    """One step: its name, the type it gives, and the steps it takes; `imported` puts it into another module."""

    name: str
    gives: str
    takes: dict[str, str] = field(default_factory=dict)
    is_async: bool = False
    imported: bool = False


@st.composite
def flows(draw: st.DrawFn) -> list[Shape]:
    count = draw(st.integers(2, 8))
    shapes: list[Shape] = []
    for number in range(count):
        upstreams = draw(st.lists(st.sampled_from(shapes), unique_by=lambda shape: shape.name)) if shapes else []
        shapes.append(
            Shape(
                f"step_{'abcdefgh'[number] * 3}",
                draw(st.sampled_from(sorted(TYPES))),
                {shape.name: shape.gives for shape in upstreams},
                draw(st.booleans()),
                draw(st.booleans()),
            )
        )
    return shapes


def source(shape: Shape) -> str:
    parameters = ", ".join(f"{name}: {hint}" for name, hint in shape.takes.items())
    used = "".join(f"    print({name})\n" for name in shape.takes)
    word = "async def" if shape.is_async else "def"
    return f"@step\n{word} {shape.name}({parameters}) -> {shape.gives}:\n{used}    return {TYPES[shape.gives]}\n"


def program(shapes: list[Shape], extra: str = "") -> dict[str, str]:
    head = "from baton_dsl import Flow, step\n"
    imported = [shape for shape in shapes if shape.imported]
    names = [shape.name for shape in shapes]
    imports = f"from steps import {', '.join(shape.name for shape in imported)}\n" if imported else ""
    own = "".join(source(shape) for shape in shapes if not shape.imported)
    return {
        "pyproject.toml": "",
        "steps.py": head + "".join(map(source, imported)),
        "flows.py": f'{head}{imports}{own}\nflow = Flow("flow", {", ".join([*names, *([extra] if extra else [])])})\n',
    }


def findings(files: dict[str, str]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), files)
        return lint(Path(folder))


def place(files: dict[str, str], text: str, after: str) -> str:
    """The place of a text, at its first occurrence after another one."""
    for path, content in files.items():
        start = content.find(after)
        if start >= 0 and path.endswith(".py"):
            position = content.index(text, start + len(after) - 1)
            line = content.count("\n", 0, position) + 1
            return f"{path}:{line}:{position - content.rfind(chr(10), 0, position)}"
    raise AssertionError(text)


@given(flows())
@settings(max_examples=40, deadline=None)
def test_a_flow_that_is_right_has_no_finding(shapes: list[Shape]) -> None:
    assert findings(program(shapes)) == []


@given(flows(), st.data())
@settings(max_examples=40, deadline=None)
def test_a_renamed_parameter_is_found(shapes: list[Shape], data: st.DataObject) -> None:
    takers = [index for index, shape in enumerate(shapes) if shape.takes]
    if not takers:
        return
    index = data.draw(st.sampled_from(takers))
    name = data.draw(st.sampled_from(sorted(shapes[index].takes)))
    takes = {f"{key}x" if key == name else key: hint for key, hint in shapes[index].takes.items()}
    shapes[index] = replace(shapes[index], takes=takes)
    files = program(shapes)
    at = place(files, f"{name}x:", f"def {shapes[index].name}(")
    message = f'step "{shapes[index].name}" has no upstream or input called "{name}x"; did you mean "{name}"?'
    assert findings(files) == [f"{at}: BTN102: {message}"]


@given(flows(), st.data())
@settings(max_examples=40, deadline=None)
def test_an_edge_back_is_found(shapes: list[Shape], data: st.DataObject) -> None:
    takers = [index for index, shape in enumerate(shapes) if shape.takes]
    if not takers:
        return
    index = data.draw(st.sampled_from(takers))
    first = next(i for i, shape in enumerate(shapes) if shape.name in shapes[index].takes)
    back = shapes[index]
    shapes[first] = replace(shapes[first], takes={**shapes[first].takes, back.name: back.gives})
    files = program(shapes)
    at = place(files, f"{back.name}:", f"def {shapes[first].name}(")
    found = findings(files)
    assert found
    assert all(": BTN101: " in line for line in found)
    assert any(line.startswith(f"{at}:") for line in found)


@given(flows(), st.data())
@settings(max_examples=40, deadline=None)
def test_a_duplicated_name_is_found(shapes: list[Shape], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(shapes)).name
    files = program(shapes, extra=name)
    flow = files["flows.py"]
    last = flow.rstrip().splitlines()[-1]
    line = flow.rstrip().count("\n") + 1
    column = last.rindex(name) + 1
    assert findings(files) == [f'flows.py:{line}:{column}: BTN103: a step called "{name}" is in the flow already']


@given(flows(), st.data())
@settings(max_examples=40, deadline=None)
def test_a_changed_type_is_found(shapes: list[Shape], data: st.DataObject) -> None:
    takers = [index for index, shape in enumerate(shapes) if shape.takes]
    if not takers:
        return
    index = data.draw(st.sampled_from(takers))
    name = data.draw(st.sampled_from(sorted(shapes[index].takes)))
    shapes[index] = replace(shapes[index], takes={**shapes[index].takes, name: "bytes"})
    given_type = next(shape.gives for shape in shapes if shape.name == name)
    files = program(shapes)
    at = place(files, f"{name}:", f"def {shapes[index].name}(")
    message = f'parameter "{name}" of step "{shapes[index].name}" is bytes, but upstream "{name}" gives {given_type}'
    assert findings(files) == [f"{at}: BTN201: {message}"]
