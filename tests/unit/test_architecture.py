"""The architecture that no linter checks: what an import loads, who knows Oban, how long a module may be."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import baton_dsl
from baton_dsl import errors
from baton_dsl.core.rules import CATALOGUE

PACKAGE = Path(baton_dsl.__file__).parent
MODULES = sorted([*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "plugin").rglob("*.py")])
LONGEST = 450
BRIDGE = {PACKAGE / "runtime" / "oban" / name for name in ("acks.py", "bridge.py", "dispatching.py", "fetches.py")}
"""The modules that know what oban keeps to itself."""
HEAVY = {"psycopg", "psycopg_pool", "sqlalchemy", "oban", "libcst", "mypy", "click", "rich", "alembic", "django"}
BASES = {errors.BatonError, errors.FlowError, errors.InputError, errors.StepError}
ERRORS = [
    error
    for error in vars(errors).values()
    if inspect.isclass(error) and issubclass(error, errors.BatonError) and error.__module__ == errors.__name__
]


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after a statement."""
    script = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import baton_dsl",
        "from baton_dsl import Flow, step; step(len.__class__ and (lambda: None)); Flow('f').validate()",
        "from baton_dsl import Flow, From, Input, Step, StepContext, FlowError, BatonError, __version__",
        "import baton_dsl.core.check, baton_dsl.core.rules",
    ],
)
def test_defining_and_checking_flows_loads_nothing_heavy(statement: str) -> None:
    assert not loaded_by(statement) & HEAVY


def test_a_worker_loads_sqlalchemy_only_for_steps_that_take_a_connection() -> None:
    assert "sqlalchemy" not in loaded_by("import baton_dsl.steps")
    assert "sqlalchemy" in loaded_by("import baton_dsl.runtime.executing.effects")


def test_the_core_loads_not_even_pydantic() -> None:
    script = "import sys; sys.modules['baton_dsl'] = __import__('types').ModuleType('baton_dsl'); "
    script += f"sys.modules['baton_dsl'].__path__ = [{str(PACKAGE)!r}]; import baton_dsl.core.check"
    assert "pydantic" not in loaded_by(script)


def test_every_public_name_can_be_had_and_explains_itself() -> None:
    for name in baton_dsl.__all__:
        thing = getattr(baton_dsl, name)
        assert name.startswith("__") or inspect.getdoc(thing), name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_a_module_is_short_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_only_the_bridge_knows_what_oban_keeps_to_itself(path: Path) -> None:
    if path in BRIDGE:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        assert not any(module.startswith("oban._") for module in modules), ast.unparse(node)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "oban":
            assert not any(alias.name.startswith("_") for alias in node.names), ast.unparse(node)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("oban", "job"):
            assert not node.attr.startswith("_"), ast.unparse(node)


@pytest.mark.parametrize("error", [error for error in ERRORS if error not in BASES], ids=lambda error: error.__name__)
def test_an_error_has_a_code_of_its_own_and_explains_itself(error: type[errors.BatonError]) -> None:
    assert re.fullmatch(r"BTN[456]\d\d", error.code)
    assert [other for other in ERRORS if other not in BASES and other.code == error.code] == [error]
    assert error.code not in CATALOGUE
    assert error.__doc__
    raised = error("it went wrong", remedy="mend it")
    assert str(raised) == f"{error.code}: it went wrong; mend it"
    assert raised.url.endswith(f"/#{error.code.lower()}")


def test_no_file_names_a_machine() -> None:
    pattern = re.compile(r"(?<![\w.])/(?:home|Users|tmp|root|work)/")
    for path in MODULES:
        assert not pattern.search(path.read_text(encoding="utf-8")), path


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest imports them by it, and can't collect the second."""
    names = [path.name for path in Path(__file__).parents[1].rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
