"""A mapped step is seen as a list; what its flow takes, and its workflow gives, says so."""

from collections.abc import Coroutine, Mapping
from typing import Annotated, Any, assert_type

from baton_dsl import Each, Flow, From, Input, Skip, step
from shop import maps


@step
def words(text: Input[str]) -> list[str] | Skip:
    return text.split() or Skip("no words")


@step(max_concurrency=10)
def size(words: Each[str], unit: Each[Input[int]]) -> int:
    return len(words) // unit


@step
async def later(size: Each[int], text: Annotated[Each[bytes], From("words")]) -> bytes | None:
    return text * size


@step(max_items=3)
def total(size: int, later: list[bytes]) -> int:
    return size + len(later)


assert_type(size("a", 2), int)
assert_type(maps.orders("eu"), Coroutine[Any, Any, Mapping[str, int] | Skip])
shop = Flow("shop", maps.regions, maps.orders, maps.lines, maps.report)
counting = Flow("counting", words.bind(text=["a"]), size.bind(unit=3), later, total)
sizes = Flow("sizes", words, size)


async def main() -> None:
    workflow = await shop.insert(country=["de", 3])
    assert_type(await workflow.result(maps.regions), list[list[str]])
    assert_type(await workflow.result(maps.orders), list[list[Mapping[str, int]]])
    assert_type(await workflow.result("orders"), list[list[Mapping[str, int]]])
    assert_type(await workflow.result("orders", (0, 1)), Mapping[str, int])
    assert_type(workflow.sync.result(maps.lines, (0, 1)), int)
    assert_type(workflow.sync.result(maps.lines), list[list[int]])
    assert_type((await workflow.results())["lines"], list[list[int]])
    assert_type(await workflow.result(maps.report), str)
    await sizes.insert(text="a b", unit="c")
    assert_type((await sizes.insert(text="a b", unit=[1])).sync.result(words), list[str])

# mypy:
# 11:32: note: "words" is defined here
# 16:28: error: step "size" maps over "words", "unit", but does not say how they go together  [baton-option]
# 16:28: note: help: say it: combine="product" runs it for each combination, combine="zip" for each position
# 16:55: note: "size" is defined here
# 21:34: error: parameter "text" of step "later" takes each item as bytes, but upstream "words" gives items of type str  [baton-upstream-type]
# 21:34: note: help: annotate the parameter as Each[str], or change what the upstream returns
# 21:34: error: step "later" maps over "size", "text", but does not say how they go together  [baton-option]
# 21:34: note: help: say it: combine="product" runs it for each combination, combine="zip" for each position
# 21:82: note: "later" is defined here
# 25:7: error: option "max_items" of step "total" needs an Each parameter: the step runs once  [baton-option]
# 25:7: note: help: drop the option; or map the step: Each[...]
# 26:11: error: parameter "size" of step "total" is int, but upstream "size" gives list[int]  [baton-upstream-type]
# 26:11: note: help: "size" runs once for each item, so it is seen as a list: size: list[int]
# 26:22: error: parameter "later" of step "total" is list[bytes], but upstream "later" gives list[bytes | None]  [baton-upstream-type]
# 26:22: note: help: "later" runs once for each item, so it is seen as a list: later: list[bytes | None]
# 31:1: error: Value of type "Coroutine[Any, Any, Mapping[str, int] | Skip]" must be used  [unused-coroutine]
# 31:1: note: Are you missing an await?
# 32:60: error: parameter "orders" of step "report" is list[Mapping[str, int]], but upstream "orders" gives list[list[Mapping[str, int]]]  [baton-upstream-type]
# 32:60: note: "report" is defined in module "shop.maps"
# 32:60: note: "orders" is defined here (module "shop.maps")
# 32:60: note: help: "orders" runs once for each item, so it is seen as a list: orders: list[list[Mapping[str, int]]]
# 33:40: error: input "text" is str, got list[str]  [baton-input]
# 33:40: note: help: give a value of type str
# 33:63: error: input "unit" is list[int], got int  [baton-input]
# 33:63: note: help: give a value of type list[int]
# 38:49: error: List item 1 has incompatible type "int"; expected "str"  [list-item]
# 47:36: error: input "unit" is list[int], got str  [baton-input]
# 47:36: note: help: give a value of type list[int]
