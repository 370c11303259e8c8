"""The documentation site: it builds without a warning, loads nothing from elsewhere, and has each page we link to."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from baton_lint.findings import Finding

from baton_dsl import errors
from baton_dsl.core.diagnostics import SITE, Diagnostic
from baton_dsl.core.rules import CATALOGUE
from tests.docs.test_code_blocks import PAGES, ROOT, blocks_of

pytest.importorskip("mkdocs", reason="the dependency group `docs` is not installed")

DOCS = ROOT / "docs"
CLASSES = [it for it in vars(errors).values() if isinstance(it, type) and issubclass(it, errors.BatonError)]
ERRORS = [it for it in CLASSES if "code" in vars(it) and it is not errors.BatonError]
LOADED = re.compile(
    r'<(?:script|img|iframe|source)\b[^>]*\bsrc="([^"]+)"|<link\b[^>]*rel="(?!canonical)[^>]*href="([^"]+)"'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    return folder


def file_of(address: str, site: Path) -> tuple[Path, str]:
    """The built file that an address of the site leads to, and the anchor in it."""
    assert address.startswith(SITE)
    path, _, anchor = address.removeprefix(SITE).partition("#")
    return site / path / "index.html", anchor


def assert_leads_somewhere(address: str, site: Path) -> None:
    file, anchor = file_of(address, site)
    assert file.is_file(), address
    assert not anchor or f'id="{anchor}"' in file.read_text(encoding="utf-8"), address


def test_the_link_of_every_rule_leads_to_its_page(site: Path) -> None:
    for code, rule in CATALOGUE.items():
        finding = Diagnostic(code=code, slug=rule.slug, message="")
        assert_leads_somewhere(finding.url, site)
        linted = Finding("", 1, 1, 1, 1, code, rule.slug, "", None, None, None, None, None)
        assert linted.url == finding.url
        assert errors.FlowError([finding]).url == finding.url


def test_the_link_of_every_error_leads_to_its_section(site: Path) -> None:
    for error in ERRORS:
        assert_leads_somewhere(error("it went wrong").url, site)


def test_every_link_in_the_readme_leads_to_the_site_or_into_the_repository(site: Path) -> None:
    """PyPI shows the README too, where a link into the repository has to be absolute."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    repository = "https://github.com/baton-dsl/baton-dsl/blob/main/"
    for address in re.findall(r"\]\(([^)\s]+)\)", text):
        if address.startswith(SITE):
            assert_leads_somewhere(address, site)
        elif address.startswith(repository):
            assert (ROOT / address.removeprefix(repository)).exists(), address
        else:
            assert address.startswith(("https://", "#")), f"{address} is relative: it leads nowhere on PyPI"


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = [script or link for script, link in LOADED.findall(text)]
        assert loaded
        assert not [it for it in loaded if re.match(r"(https?:)?//", it)], page
        assert 'data-md-component="source"' not in text, "the theme asks GitHub for the stars of a repository"
        assert 'class="mermaid"' not in text, "the theme loads mermaid from another host: draw it as an SVG"


def public_names() -> set[str]:
    """The names in `__all__` of the public modules, the errors, and whatever a page of the documentation imports."""
    package = ROOT / "baton_dsl"
    modules = [package / "__init__.py", *package.glob("[a-z]*.py"), *package.glob("*/__init__.py")]
    integrations = {package / "integrations" / f"{name}.py" for name in ("anthropic", "openai", "pydantic_ai")}
    found = {error.__name__ for error in CLASSES}
    for path in (*modules, *integrations):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path in integrations:
            definitions = [it for it in tree.body if isinstance(it, ast.FunctionDef | ast.ClassDef)]
            found |= {it.name for it in definitions if not it.name.startswith("_")}
        for node in tree.body:
            if isinstance(node, ast.Assign) and "__all__" in ast.unparse(node.targets) and path.stem != "reflect":
                found |= {name for name in ast.literal_eval(node.value) if not name.startswith("__")}
    for block in (block for page in PAGES for block in blocks_of(page) if block.language == "python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and re.match(r"baton_dsl\b", node.module or ""):
                found |= {alias.name for alias in node.names}
    return found - {path.stem for path in package.rglob("*.py")} - {path.parent.name for path in modules}


def test_the_reference_has_every_public_name(site: Path) -> None:
    pages = "".join(page.read_text() for page in (site / "reference" / "api").rglob("*.html"))
    missing = [name for name in public_names() if not re.search(rf'id="baton_dsl\.[\w.]*\b{name}"', pages)]
    assert not missing, f"name these in a page of docs/reference/api: {sorted(missing)}"


def test_the_navigation_knows_every_page() -> None:
    """The build checks this too; this test takes a second, and names the file to change."""

    def named(entry: object) -> list[str]:
        match entry:
            case str():
                return [entry]
            case dict():
                return [page for value in entry.values() for page in named(value)]
            case list():
                return [page for value in entry for page in named(value)]
        raise TypeError(entry)

    known = named(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert not pages - {*known}, f"name these pages in the navigation, `nav` of mkdocs.yml: {sorted(pages - {*known})}"
    assert not {*known} - pages, f"mkdocs.yml names pages that do not exist: {sorted({*known} - pages)}"
    assert len(known) == len({*known})
