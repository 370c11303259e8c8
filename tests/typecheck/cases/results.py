"""A workflow knows its steps and what each gives."""

from collections.abc import Coroutine
from typing import Any, assert_type

from baton_dsl import Flow, Workflow, step


@step
async def token() -> str:
    return "t"


@step
def report(token: str) -> list[int]:
    return [len(token)]


@step
def stranger(token: str) -> Any: ...


billing = Flow("billing", token, report)
assert_type(token(), Coroutine[Any, Any, str])
assert_type(report("t"), list[int])
assert_type(stranger(token="t"), Any)
report(3)


async def main(loaded: Workflow) -> None:
    workflow = await billing.insert()
    assert_type(await workflow.result(report), list[int])
    assert_type(await workflow.result("token"), str)
    assert_type(workflow.sync.result("report"), list[int])
    await workflow.result(stranger)
    workflow.sync.result("reprot")
    results = await workflow.results()
    assert_type(results["report"], list[int])
    results["reprot"]
    assert_type(await loaded.result(stranger), Any)
    assert_type(await loaded.result("anything"), Any)

# mypy:
# 24:1: error: Value of type "Coroutine[Any, Any, str]" must be used  [unused-coroutine]
# 24:1: note: Are you missing an await?
# 27:8: error: Argument 1 to "__call__" of "Step" has incompatible type "int"; expected "str"  [arg-type]
# 35:27: error: the workflow has no step "stranger"; it has "token", "report"  [baton-step-not-in-workflow]
# 36:26: error: the workflow has no step "reprot"; did you mean "report"?  [baton-step-not-in-workflow]
# 39:13: error: "reprot" is not a valid TypedDict key; expected one of ("token", "report")  [misc]
