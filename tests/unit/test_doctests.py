"""The examples in docstrings work."""

import doctest
import importlib
import pkgutil

import pytest

import baton_dsl

MODULES = [
    module.name
    for module in pkgutil.walk_packages(baton_dsl.__path__, "baton_dsl.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_do_what_they_say(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
