"""Findings lie where the catalogue says, whatever form the step has."""

from typing import Annotated

from baton_dsl import Flow, From, Input, step


class Billing:
    @staticmethod
    @step
    async def charge(
        amount: Input[int],
        *,
        fee: Annotated[
            int, From("charge_fee")
        ],
    ) -> memoryview:
        return memoryview(b"")

    @step
    def refund(self, charge: int) -> int:
        return charge


halve = step(lambda: 1)
shop = Flow("shop", Billing.charge, halve, Billing.refund)
both = Flow("both", Billing.charge.named("first"), Billing.charge.named("first"), ignore_cancelled=True)


@step(ignore_discarded=True, after=["first", "firts"])
def cleanup(first: memoryview | None, fee: int = 0) -> None: ...


more = Flow(
    "more",
    Billing.charge.named("first"),
    cleanup,
)

# mypy:
# 14:9: error: step "charge" takes "fee" from "charge_fee", which is no step of the flow  [baton-missing-upstream]
# 14:9: note: help: add that step to the flow, or name another in From(...)
# 14:9: error: step "first" takes "fee" from "charge_fee", which is no step of the flow  [baton-missing-upstream]
# 14:9: note: help: add that step to the flow, or name another in From(...)
# 17:10: error: step "charge" returns memoryview[int], which can't be stored as JSON  [baton-not-serializable]
# 17:10: note: help: return plain data: a pydantic model, a dataclass, a TypedDict, numbers, strings, lists, dicts
# 17:10: note: "charge" is defined here
# 17:10: error: step "first" returns memoryview[int], which can't be stored as JSON  [baton-not-serializable]
# 17:10: note: help: return plain data: a pydantic model, a dataclass, a TypedDict, numbers, strings, lists, dicts
# 21:9: error: step "refund" is a method, which a worker can't import by name  [baton-unimportable-step]
# 21:9: note: help: make it a function of a module, or a static method of a class of a module
# 21:16: error: step "refund" has no upstream or input called "self"  [baton-missing-upstream]
# 21:16: note: help: rename the parameter to a step of the flow, or mark it as an input: self: Input[...]
# 21:22: error: parameter "charge" of step "refund" is int, but upstream "charge" gives memoryview[int]  [baton-upstream-type]
# 21:22: note: help: annotate the parameter as memoryview[int], or change what the upstream returns
# 26:37: error: step "<lambda>" is a lambda, which a worker can't import by name  [baton-unimportable-step]
# 26:37: note: help: make it a function of a module, or a static method of a class of a module
# 27:21: note: "first" stands here first
# 27:52: error: a step called "first" is in the flow already  [baton-duplicate-step]
# 27:52: note: help: give one of them a name of its own: first.named("first_2")
# 30:46: error: step "cleanup" waits for "firts", which is no step of the flow; did you mean "first"?  [baton-missing-upstream]
# 30:46: note: help: add that step to the flow, or drop the name
# 31:39: error: step "cleanup" has no upstream or input called "fee"  [baton-missing-upstream]
# 31:39: note: help: rename the parameter to a step of the flow, or mark it as an input: fee: Input[...]
# 31:39: error: parameter "fee" of step "cleanup" has a default that can never be used: its value is the upstream's result  [baton-shadowed-default]
# 31:39: note: help: drop the default; or mark the parameter as an input: Input[...]
