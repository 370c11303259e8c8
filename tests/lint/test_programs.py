"""Whole programs with the layouts of real users: what is found in them, and what must not be reported."""

from pathlib import Path

import pytest

from tests.lint.support import lint, write

STEPS = """\
from baton_dsl import Input, step

@step
def token(api_key: Input[str]) -> str:
    return api_key

@step
def orders(token: str) -> list[int]:
    return [len(token)]
"""

MISSING = 'BTN102: step "report" has no upstream or input called "order"; did you mean "orders"?'
REPORT = """
@step
def report(order: list[int]) -> int:
    return len(order)
"""

FOUND: dict[str, tuple[dict[str, str], list[str]]] = {
    "steps of another module": (
        {
            "app/__init__.py": "",
            "app/steps.py": STEPS,
            "app/flows.py": "from app.steps import orders, token\nfrom baton_dsl import Flow, step\n"
            + REPORT
            + '\nshop = Flow("shop", token, orders, report)\n',
        },
        [f"app/flows.py:5:12: {MISSING}"],
    ),
    "relative imports and a source folder": (
        {
            "pyproject.toml": "",
            "src/app/__init__.py": "",
            "src/app/deep/__init__.py": "",
            "src/app/steps.py": STEPS,
            "src/app/deep/flows.py": "from baton_dsl import Flow, step\nfrom ..steps import orders\n"
            "from .. import steps as s\nimport app.steps\n"
            + REPORT
            + '\nshop = Flow("shop", s.token, orders, report)\nagain = Flow("again", app.steps.token, report)\n',
        },
        [
            f"src/app/deep/flows.py:7:12: {MISSING}",
            'src/app/deep/flows.py:7:12: BTN102: step "report" has no upstream or input called "order"',
        ],
    ),
    "sessions, of the project and of libraries": (
        {
            "app/sessions.py": "from sqlalchemy import orm\n\nclass Base(orm.Session): ...\n\nclass Own(Base): ...\n",
            "app/flows.py": "from lib import LibrarySession\nfrom sqlmodel import Session\n"
            "from app.sessions import Own\nfrom baton_dsl import Flow, step\n\n"
            "@step\nasync def first(session: Own) -> int:\n    return 1\n\n"
            "@step\nasync def second(first: int, session: Session) -> int:\n    return first\n\n"
            "@step\ndef third(second: int, session: LibrarySession) -> int:\n    return second\n\n"
            'shop = Flow("shop", first, second, third)\n',
        },
        [
            'app/flows.py:7:17: BTN310: "session" is a blocking connection, and step "first" is async',
            'app/flows.py:11:30: BTN310: "session" is a blocking connection, and step "second" is async',
        ],
    ),
    "a namespace package": (
        {
            "pyproject.toml": "",
            "company/shop/steps.py": STEPS,
            "company/flows.py": "from baton_dsl import Flow, step\nfrom company.shop.steps import orders, token\n"
            + REPORT
            + '\nshop = Flow("shop", token, orders, report)\n',
        },
        [f"company/flows.py:5:12: {MISSING}"],
    ),
    "re-exports, aliases and a module of our own names": (
        {
            "app/__init__.py": "from .steps import orders as all_orders, token\n",
            "app/steps.py": STEPS,
            "app/dsl.py": 'from baton_dsl import Flow as Pipeline, step\nllm = step(queue="llm")\n',
            "app/flows.py": "import app\nfrom app.dsl import Pipeline, llm\nfrom app.dsl import step as task\n\n"
            "@llm\ndef report(order: list[int]) -> int:\n    return len(order)\n\n"
            "@task\ndef mail(report: str) -> None:\n    print(report)\n\n"
            'shop = Pipeline("shop", app.token, app.all_orders, report, mail)\n',
        },
        [
            f"app/flows.py:6:12: {MISSING}",
            'app/flows.py:10:10: BTN201: parameter "report" of step "mail" is str, but upstream "report" gives int',
        ],
    ),
    "a star import": (
        {
            "steps.py": STEPS,
            "flows.py": "from baton_dsl import *\nfrom steps import *\n"
            + REPORT
            + '\nshop = Flow("shop", token, orders, report)\n',
        },
        [f"flows.py:5:12: {MISSING}"],
    ),
    "tuples and lists of modules that never say our name": (
        {
            "steps.py": STEPS,
            "common.py": "from steps import orders, token\nAUTH = (token,)\nSHOP = [*AUTH, orders]\n",
            "flows.py": "import baton_dsl as b\nfrom common import SHOP\n\n"
            "@b.step\ndef report(order: list[int]) -> int:\n    return len(order)\n\n"
            'shop = b.Flow("shop", *SHOP, report)\n',
        },
        [f"flows.py:5:12: {MISSING}"],
    ),
    "maps by aliases, in quotes, by the marker itself and of another module": (
        {
            "app/types.py": "import baton_dsl as b\nfrom typing import Annotated\nfrom baton_dsl.step import EachMarker\n"
            "type Region = b.Each[str]\ntype Numbers[T] = b.Each[b.Each[T]]\ntype Maybe = int | b.Skip\n"
            "Plain = Annotated[str, EachMarker()]\n",
            "app/flows.py": "from typing import Annotated\nfrom baton_dsl import Each, Flow, From, Input, Outcome, step\n"
            "from app.types import Maybe, Numbers, Plain, Region\n\n"
            "@step\ndef regions() -> list[int]:\n    return [1]\n\n"
            "@step\ndef one(regions: Region) -> Maybe:\n    return len(regions)\n\n"
            '@step\ndef two(regions: "Each[str]") -> "Maybe":\n    return len(regions)\n\n'
            "@step\ndef three(regions: Plain) -> int:\n    return len(regions)\n\n"
            '@step\ndef four(name: Each[Annotated[str, From("regions")]]) -> int:\n    return len(name)\n\n'
            "@step\ndef five(regions: Numbers[int], given: Each[Input[str]]) -> int:\n    return regions + len(given)\n\n"
            "@step(ignore_discarded=True)\ndef six(one: list[int], two: list[Outcome[int]], three: list[str]) -> int:\n"
            "    return len(one) + len(two) + len(three)\n\n"
            'shop = Flow("shop", regions, one, two, three, four, five, six)\n',
        },
        [
            *(
                f'app/flows.py:{line}: BTN201: parameter "{name}" of step "{step}" takes each item as str, '
                'but upstream "regions" gives items of type int'
                for line, name, step in (
                    ("10:9", "regions", "one"),
                    ("14:9", "regions", "two"),
                    ("18:11", "regions", "three"),
                    ("22:10", "name", "four"),
                )
            ),
            (
                'app/flows.py:26:10: BTN205: parameter "regions" of step "five" takes each item 2 levels deep, but upstream '
                '"regions" gives list[int], whose items are int: no collection'
            ),
            ('app/flows.py:26:33: BTN305: step "five" maps over "regions", "given", but lacks the option combine'),
            (
                'app/flows.py:30:9: BTN202: parameter "one" of step "six" is list[int], from which failed items of "one" '
                "would be missing, since ignore_discarded is set"
            ),
            (
                'app/flows.py:30:50: BTN201: parameter "three" of step "six" is list[str], but upstream "three" '
                "gives list[int]"
            ),
        ],
    ),
    "bound and renamed steps": (
        {
            "flows.py": STEPS
            + "\nfrom baton_dsl import Flow\n"
            + REPORT
            + '\neu = token.named("token_eu").bind(api_key="eu")\n'
            'shop = Flow("shop", eu, orders.named("orders_eu"), report)\n'
        },
        [
            'flows.py:8:12: BTN102: step "orders_eu" has no upstream or input called "token"; did you mean "token_eu"?',
            'flows.py:14:12: BTN102: step "report" has no upstream or input called "order"; did you mean "orders_eu"?',
        ],
    ),
    "a flow that is bound in one file and inserted in another": (
        {
            "flows.py": STEPS
            + '\nfrom baton_dsl import Flow\n\nshop = Flow("shop", token, orders)\neu = shop.bind(api_key="eu")\n',
            "use.py": """\
from flows import eu, shop

async def main(more: dict[str, str]) -> None:
    await eu.insert()
    await eu.bind(api_key=3).insert()
    await eu.insert(api_key=4)
    await shop.insert()
    await shop.bind(**more).insert()
    await shop.bind(apikey="x").options(debg=True, workflow_id=" ").insert(api_key="y")
""",
        },
        [
            'use.py:5:19: BTN303: input "api_key" must be str, got int',
            'use.py:6:21: BTN303: input "api_key" must be str, got int',
            'use.py:7:11: BTN303: input "api_key" is missing; step "token" needs it',
            'use.py:9:21: BTN303: the flow has no input called "apikey"; did you mean "api_key"?',
            'use.py:9:41: BTN305: a flow has no option "debg"; did you mean "debug"?',
            ("use.py:9:52: BTN305: option \"workflow_id\" of a flow must be a name of at most 255 characters, got ' '"),
        ],
    ),
    "a flow that grows": (
        {
            "flows.py": STEPS
            + "\nfrom baton_dsl import Flow\n"
            + REPORT
            + '\nshop = Flow("shop").add("token", token).add("orders", orders, deps=["tokens"])\n'
            'shop.add("report", report)\n'
        },
        [
            f"flows.py:14:12: {MISSING}",
            (
                'flows.py:17:69: BTN102: step "orders" waits for "tokens", which is no step of the flow; '
                'did you mean "token"?'
            ),
        ],
    ),
    "a flow inside a function, and a static method": (
        {
            "flows.py": STEPS + "\nfrom baton_dsl import Flow\n\nclass Reports:\n    @staticmethod\n    @step\n"
            "    def report(order: list[int]) -> int:\n        return len(order)\n\n"
            'def build() -> Flow:\n    flow = Flow("shop", token, orders, Reports.report)\n    return flow\n'
        },
        [f"flows.py:16:16: {MISSING}"],
    ),
    "markers behind aliases, strings and Annotated": (
        {
            "flows.py": """\
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import baton_dsl
from baton_dsl import Flow, From, Input, StepContext, step

if TYPE_CHECKING:
    from collections.abc import Sequence

type Key = Input[str]
type Many[T] = list[T]
Name = Input[str]

@step
def first(key: Key, name: "Name", other: "Input[int]", ctx: StepContext) -> Many[int]:
    return [len(key), len(name), other, ctx.attempt]

@step
def second(left: Annotated[Optional["Sequence[str]"], From("first")], right: list[str] = From(first)) -> None:
    print(left, right)

shop = Flow("shop", first, second)

async def main() -> None:
    await shop.insert(None, key="a", nam="b", other="c")
"""
        },
        [
            (
                'flows.py:20:12: BTN201: parameter "left" of step "second" is Sequence[str] | None, '
                'but upstream "first" gives list[int]'
            ),
            (
                'flows.py:20:12: BTN204: the annotation of parameter "left" of step "second" can\'t be evaluated: '
                "name 'Sequence' is not defined"
            ),
            (
                'flows.py:20:71: BTN201: parameter "right" of step "second" is list[str], '
                'but upstream "first" gives list[int]'
            ),
            'flows.py:26:11: BTN303: input "name" is missing; step "first" needs it',
            'flows.py:26:38: BTN303: the flow has no input called "nam"; did you mean "name"?',
            'flows.py:26:47: BTN303: input "other" must be int, got str',
        ],
    ),
    "classes of the project": (
        {
            "models.py": "from dataclasses import dataclass\nfrom pydantic import BaseModel\n\n"
            "class Base(BaseModel):\n    id: int\n\nclass Order(Base):\n    total: int\n\nclass Other(BaseModel):\n    x: int\n\n"
            "class Session:\n    pass\n\n@dataclass\nclass Held:\n    session: Session\n",
            "flows.py": "import models\nfrom baton_dsl import Flow, step\nfrom models import Base, Held, Order, Session\n\n"
            "@step\ndef order() -> Order:\n    raise NotImplementedError\n\n"
            "@step\ndef fine(order: Base) -> Session: ...\n\n"
            "@step\ndef wrong(order: models.Other) -> list[Held]: ...\n\n"
            'shop = Flow("shop", order, fine, wrong)\n',
        },
        [
            'flows.py:10:26: BTN203: step "fine" returns Session, which can\'t be stored as JSON',
            'flows.py:13:11: BTN201: parameter "order" of step "wrong" is Other, but upstream "order" gives Order',
            'flows.py:13:35: BTN203: step "wrong" returns list[Held], of which Session can\'t be stored as JSON',
        ],
    ),
    "an insert in a module that only knows the flow": (
        {
            "flows.py": STEPS + '\nfrom baton_dsl import Flow\nshop = Flow("shop", token, orders)\n',
            "views.py": "from flows import shop as billing\n\nasync def view(session) -> None:\n"
            '    await billing.insert(session, api_kye="x")\n',
        },
        [
            'views.py:4:11: BTN303: input "api_key" is missing; step "token" needs it',
            'views.py:4:35: BTN303: the flow has no input called "api_kye"; did you mean "api_key"?',
        ],
    ),
    "what holds in an open flow": (
        {
            "flows.py": "from baton_dsl import Flow, step\nfrom unknown_package import more\n\n"
            "@step\ndef a(b: int) -> int:\n    return b\n\n@step\ndef b(a: int, somewhere: int) -> int:\n"
            '    return a + somewhere\n\nshop = Flow("shop", a, more, b)\n'
        },
        ['flows.py:5:7: BTN101: steps wait for each other: "a" -> "b" -> "a"'],
    ),
    "a step that no flow takes": (
        {"steps.py": "from baton_dsl import step\n\n@step(priority=12)\ndef lonely(x: int):\n    return x\n"},
        [
            'steps.py:3:7: BTN305: option "priority" of step "lonely" must be a whole number from 0 to 9, got 12',
            'steps.py:4:5: BTN204: step "lonely" has no return annotation, so what it gives can\'t be checked',
        ],
    ),
    "a function that is no step": (
        {
            "flows.py": "from baton_dsl import Flow\n\ndef plain() -> int:\n    return 1\n\n"
            'shop = Flow("shop", plain)\nmore = Flow("more").add("plain", plain)\n'
        },
        ['flows.py:6:21: BTN305: "plain" is no step', 'flows.py:7:34: BTN305: "plain" is no step'],
    ),
    "names that no step can have": (
        {
            "flows.py": "from baton_dsl import Flow, step\n\n@step\ndef a() -> int:\n    return 1\n\n"
            'shop = Flow("shop", a.named(" ")).add("", a)\nnone = Flow("", a)\n'
        },
        [
            "flows.py:7:21: BTN305: the name of a step must be a name without blanks at its ends, got ' '",
            "flows.py:7:39: BTN305: the name of a step must be a name without blanks at its ends, got ''",
            "flows.py:8:13: BTN305: the name of a flow must be a name without blanks at its ends, got ''",
        ],
    ),
    "columns behind wide characters": (
        {
            "flows.py": "from baton_dsl import Flow, step\n\n@step\ndef größe(länge: int, ß: int) -> int:\n"
            '    return länge + ß\n\nflow = Flow("straße", größe)\n'
        },
        [
            'flows.py:4:11: BTN102: step "größe" has no upstream or input called "länge"',
            'flows.py:4:23: BTN102: step "größe" has no upstream or input called "ß"',
        ],
    ),
}

HEAD = "from baton_dsl import Each, Flow, Input, step\n" + STEPS.partition("\n")[2] + REPORT

SILENT: dict[str, str] = {
    "a list built in a loop": "items = []\nfor n in range(3):\n    items.append(token)\nshop = Flow('shop', *items, report)",
    "a list that is changed elsewhere": "items = [token, orders]\ndef f():\n    items.append(report)\nFlow('a', *items, report)",
    "a list that is given away": "items = [token, orders]\nprint_all(items)\nFlow('a', *items, report)",
    "a comprehension": "Flow('shop', *[token.named(n) for n in 'ab'], report)",
    "a sum of tuples": "Flow('shop', *((token,) + (orders,)), report)",
    "an item by condition": "import sys\nFlow('shop', token if sys.argv else orders, report)",
    "a step by getattr": "Flow('shop', getattr(__builtins__, 'x'), report)",
    "a call": "def make():\n    return token\nFlow('shop', make(), report)",
    "a name bound twice": "x = token\nx = orders\nFlow('shop', x, report)",
    "a name bound in a branch": "import sys\nif sys.argv:\n    x = token\nelse:\n    x = orders\nFlow('shop', x, report)",
    "a name that a function sets": "x = token\ndef f():\n    global x\n    x = orders\nFlow('shop', x, report)",
    "a missing module": "from .nowhere import x\nFlow('shop', x, report)",
    "a package that is not here": "from elsewhere import x\nFlow('shop', x, report)",
    "steps added in a loop": "flow = Flow('shop', report)\nfor n in range(3):\n    flow.add(f's{n}', token)",
    "steps added in a function": "flow = Flow('shop', report)\ndef f():\n    flow.add('order', token)",
    "steps added by somebody else": "flow = Flow('shop').add('r', report)\nextend(flow)",
    "a flow in a loop that grows there": "for n in 'ab':\n    flow = Flow(n, report)\n    flow.add('order', orders)",
    "a flow as a parameter": "def f(flow):\n    flow.add('order', orders)\nshop = Flow('shop', report)\nf(shop)",
    "a name that can't be told": "import sys\nFlow('shop', token.named(sys.argv[0]), report)",
    "options that can't be seen": "KW = {}\n@step(**KW)\ndef other() -> int:\n    return 1\nFlow('shop', other, report)",
    "shadowed by a parameter": "def f(step, token):\n    return Flow('shop', token, report)",
    "an import of itself": "from flows import orders as again\nFlow('shop', again, token)",
    "errors on purpose": "import pytest\nwith pytest.raises(ValueError):\n    Flow('shop', report)",
    "each over a list": "@step\ndef one(orders: Each[int]) -> str:\n    return str(orders)\n@step\ndef all_of(one: list[str]) -> int:\n"
    "    return len(one)\nFlow('shop', token, orders, one, all_of)",
    "an annotation that can't be resolved": "from .nowhere import Key\n@step\ndef f(x: Key) -> int:\n    return x\nFlow('f', f)",
    "each of anything": "@step\ndef one(orders: Each) -> int:\n    return len(orders)\n@step\ndef two(one: list[int]) -> int:\n"
    "    return len(one)\nFlow('f', token, orders, one, two)",
    "each over what can't be resolved": "from .nowhere import Key\n@step\ndef f(orders: Each[Key]) -> int:\n"
    "    return orders\nFlow('f', f, token, orders)",
    "each over what gives something unknown": "from .nowhere import Keys\n@step\ndef keys() -> Keys:\n    return Keys()\n"
    "@step\ndef f(keys: Each[Each[int]]) -> int:\n    return keys\nFlow('f', f, keys)",
    "how maps combine by a name": "import sys\nHOW = sys.argv[0]\n@step(combine=HOW)\ndef f(a: Each[Input[int]], b: Each[Input[int]])"
    " -> int:\n    return a + b\n@step(combine=HOW)\ndef g(f: list[int]) -> int:\n    return len(f)\nFlow('f', f, g)",
    "a decorator below": "from functools import cache\n@step\n@cache\ndef f(x, y):\n    return x\nFlow('f', f)",
}


@pytest.mark.parametrize("name", FOUND)
def test_a_program_is_seen_whole(name: str, tmp_path: Path) -> None:
    files, expected = FOUND[name]
    write(tmp_path, {"pyproject.toml": "", **files})
    assert lint(tmp_path) == expected


@pytest.mark.parametrize("name", SILENT)
def test_what_cannot_be_told_is_left_alone(name: str, tmp_path: Path) -> None:
    write(tmp_path, {"flows.py": f"{HEAD}\n{SILENT[name]}\n"})
    assert lint(tmp_path) == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "items = []\nfor n in 'ab':\n    items.append(n)\nFlow('a', *items)",
            'the items of "items" may change at run time',
        ),
        ("from .nowhere import x\nFlow('a', x)", 'module ".nowhere" is not there'),
        ("from elsewhere import x\nFlow('a', x)", '"elsewhere.x" is outside of the project'),
        ("flow = Flow('a')\nfor n in 'ab':\n    flow.add(n, token)", "steps are added in a branch or a loop"),
        ("Flow('a', what)", '"what" is not defined here'),
    ],
)
def test_strict_says_what_was_left_alone_and_why(source: str, reason: str, tmp_path: Path) -> None:
    write(tmp_path, {"flows.py": f"{HEAD}\n{source}\n"})
    found = lint(tmp_path, "--strict")
    assert [line.partition("BTN903: ")[2] for line in found] == [f'flow "a" is open: {reason}']
