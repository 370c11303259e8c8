"""A sync step annotated `-> Any`, called directly. pyright takes the overload for coroutines, and so is not asked."""

from typing import Any, assert_type

from baton_dsl import step


@step
def anything() -> Any: ...


assert_type(anything(), Any)
