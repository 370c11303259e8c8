"""Fixes change only what they name, and a second run finds nothing to fix."""

import difflib
from pathlib import Path

import pytest

from tests.lint.support import lint, run, write

TAIL = """

@step
def   orders( limit:Input[int]=3 ) ->list[int]:   # odd   blanks stay
    return [limit]

shop = Flow('shop',orders,report)
"""
HEAD = "from baton_dsl import Flow, Input, step\n\n"


def fixed(folder: Path, source: str, *arguments: str) -> str:
    path = folder / "flows.py"
    path.write_bytes(source.encode())
    run(folder, "--no-cache", "--fix", *arguments)
    once = path.read_bytes().decode()
    run(folder, "--no-cache", "--fix", *arguments)
    assert path.read_bytes().decode() == once
    return once


def changed(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def test_a_misspelt_parameter_is_renamed_with_its_uses(tmp_path: Path) -> None:
    source = HEAD + (
        "@step\ndef report(order :list[int]) ->str:  # order stays in comments\n"
        '    double = [2*x for x in order]\n    text = f"{order!r} order"\n'
        "    def inner()->int:\n        return len( order )\n    return text + str(inner()) + str(double)" + TAIL
    )
    after = fixed(tmp_path, source)
    assert changed(source, after) == [
        "-def report(order :list[int]) ->str:  # order stays in comments",
        "-    double = [2*x for x in order]",
        '-    text = f"{order!r} order"',
        "+def report(orders :list[int]) ->str:  # order stays in comments",
        "+    double = [2*x for x in orders]",
        '+    text = f"{orders!r} order"',
        "-        return len( order )",
        "+        return len( orders )",
    ]
    assert lint(tmp_path) == []


@pytest.mark.parametrize(
    "body",
    [
        "    orders = 3\n    return order + orders",
        "    return [order for order in order]\n    x = lambda order: order",
        "    return locals()",
        "    from x import orders\n    return order",
        "    class A:\n        order = order\n    return A",
    ],
)
def test_a_rename_that_could_change_the_meaning_is_left_alone(body: str, tmp_path: Path) -> None:
    source = HEAD + f"@step\ndef report(order: list[int]) -> object:\n{body}" + TAIL
    assert fixed(tmp_path, source) == source


def test_a_step_of_two_flows_is_renamed_only_if_both_want_it(tmp_path: Path) -> None:
    source = HEAD + "@step\ndef report(order: list[int]) -> int:\n    return len(order)" + TAIL
    source += "other = Flow('other', orders.named('order'), report)\n"
    assert fixed(tmp_path, source) == source


def test_names_of_steps_options_and_inputs_are_mended(tmp_path: Path) -> None:
    source = HEAD + (
        '@step(after=("order",), max_attempt=3)\ndef report(days: Input[int]) -> int:\n    return days'
        + TAIL
        + "async def main():\n    await shop.insert(dayz=3)\n"
    )
    after = fixed(tmp_path, source)
    assert '@step(after=("orders",), max_attempts=3)' in after
    assert "await shop.insert(days=3)" in after
    assert lint(tmp_path) == []


def test_a_missing_input_is_marked_only_when_asked_for(tmp_path: Path) -> None:
    source = (
        "from baton_dsl import Flow, step\n\n@step\ndef report(days: int, unit: 'str') -> str:\n"
        "    return unit * days\n\n"
        "shop = Flow('shop', report)\n\nasync def main():\n    await shop.insert(days=3, unit='x')\n"
    )
    assert fixed(tmp_path, source) == source
    after = fixed(tmp_path, source, "--unsafe-fixes")
    assert changed(source, after) == [
        "-from baton_dsl import Flow, step",
        "+from baton_dsl import Flow, Input, step",
        "-def report(days: int, unit: 'str') -> str:",
        "+def report(days: Input[int], unit: Input['str']) -> str:",
    ]
    assert lint(tmp_path) == []


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_endings_and_encoding_stay(ending: str, mark: bytes, tmp_path: Path) -> None:
    source = HEAD + "@step\ndef report(order: list[int]) -> str:\n    return f'ä{order}'" + TAIL
    data = mark + source.replace("\n", ending).encode()
    (tmp_path / "flows.py").write_bytes(data)
    run(tmp_path, "--no-cache", "--fix")
    expected = data.replace(b"(order:", b"(orders:").replace(b"{order}", b"{orders}")
    assert (tmp_path / "flows.py").read_bytes() == expected


def test_another_encoding_stays(tmp_path: Path) -> None:
    source = "# coding: latin-1\n" + HEAD + "@step\ndef report(order: list[int]) -> str:\n    return f'ä{order}'" + TAIL
    (tmp_path / "flows.py").write_bytes(source.encode("latin-1"))
    run(tmp_path, "--no-cache", "--fix")
    expected = source.replace("(order:", "(orders:").replace("{order}", "{orders}").encode("latin-1")
    assert (tmp_path / "flows.py").read_bytes() == expected


def test_diff_shows_and_changes_nothing(tmp_path: Path) -> None:
    source = HEAD + "@step\ndef report(order: list[int]) -> int:\n    return len(order)" + TAIL
    write(tmp_path, {"flows.py": source})
    outcome = run(tmp_path, "--no-cache", "--diff")
    assert outcome.status == 1
    assert outcome.lines[:2] == ["--- flows.py", "+++ flows.py"]
    assert "+def report(orders: list[int]) -> int:" in outcome.lines
    assert (tmp_path / "flows.py").read_text() == source


def test_a_fix_finds_its_place_between_comments_semicolons_and_decorators(tmp_path: Path) -> None:
    source = (
        "# head\n\n" + HEAD + "a = 1; b = 2; \\\n  c = 3\n\n# about the class\nclass Reports:\n\n    # about the step\n"
        "    @staticmethod\n    @step(\n        # about the option\n        max_attempt=3,\n    )\n"
        "    def report(order: list[int], days: Input[int]) -> int:\n        return days + len(order)\n"
        + TAIL.replace("report)", "Reports.report) ; d = 4")
        + "\n# about the next\nnext = Flow(\n    'next',\n    orders,  # first\n    Reports.report.bind(dayz=3),\n)\n"
    )
    after = fixed(tmp_path, source)
    assert changed(source, after) == [
        "-        max_attempt=3,",
        "+        max_attempts=3,",
        "-    def report(order: list[int], days: Input[int]) -> int:",
        "-        return days + len(order)",
        "+    def report(orders: list[int], days: Input[int]) -> int:",
        "+        return days + len(orders)",
        "-    Reports.report.bind(dayz=3),",
        "+    Reports.report.bind(days=3),",
    ]
    assert lint(tmp_path) == []


def test_a_key_of_insert_many_is_renamed(tmp_path: Path) -> None:
    source = HEAD + (
        "@step\ndef charge(amount: Input[int]) -> int:\n    return amount\n\n"
        "shop = Flow('shop', charge)\n\nasync def main() -> None:\n"
        "    await shop.insert_many(None, [{'amont': 3}, ({\"amuont\": 4}, {'debug': True})])\n"
    )
    after = fixed(tmp_path, source)
    assert changed(source, after)[1:] == [
        "+    await shop.insert_many(None, [{'amount': 3}, ({\"amount\": 4}, {'debug': True})])"
    ]
