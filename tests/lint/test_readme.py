"""What README says of baton-lint is what baton-lint says of README's own files."""

import re
from pathlib import Path

from tests.lint.support import run, write

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_files_of_the_readme_lint_as_it_says(tmp_path: Path) -> None:
    files = dict(re.findall(r"^```python\n# ([\w/]+\.py)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
    assert set(files) == {"shop.py", "misspelt.py"}
    write(tmp_path, {name: f"# {name}\n{text}" for name, text in files.items()})
    (said,) = re.findall(r"^baton-lint +# (.+)$", README, re.MULTILINE)
    assert run(tmp_path, "--no-cache").lines == [said]
    assert run(tmp_path, "--no-cache", "shop.py").status == 0
