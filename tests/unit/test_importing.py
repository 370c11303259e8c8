"""The functions that the names in jobs refer to, and the errors if they can't be found."""

from __future__ import annotations

from pathlib import Path

import pytest

from baton_dsl.errors import StepNotFoundError
from baton_dsl.runtime.values.importing import find


def test_a_module_of_the_current_folder_that_is_not_on_the_path_is_told_from_one_that_is_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.joinpath("lies_here.py").write_text("def charge() -> None: ...\n", encoding="utf-8")
    tmp_path.joinpath("lacks_another.py").write_text("import baton_nowhere\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StepNotFoundError, match=r"BTN501: .*; it is in the current folder, .* set PYTHONPATH=\."):
        find("lies_here:charge", "step")
    with pytest.raises(StepNotFoundError, match=r"baton_nowhere.*; deploy the code"):
        find("baton_nowhere:charge", "step")
    monkeypatch.syspath_prepend(tmp_path)
    assert callable(find("lies_here:charge", "step"))
    with pytest.raises(StepNotFoundError, match=r"No module named 'baton_nowhere'; deploy the code"):
        find("lacks_another:charge", "step")
