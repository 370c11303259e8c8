"""Flows whose steps call models, for `baton cost` and the commands on what was recorded."""

from decimal import Decimal

from baton_dsl import Each, Flow, Input, StepContext, step


@step(max_cost=Decimal("0.50"), max_attempts=2)
async def draft(topic: Input[str], context: StepContext) -> list[str]:
    return [topic]


@step(max_input_tokens=1_000_000, max_output_tokens=1_000_000, max_attempts=1, max_items=3)
async def check(draft: Each[str], context: StepContext) -> str:
    return draft


@step
def joined(check: list[str]) -> str:
    return " ".join(check)


brief = Flow("brief", draft, check, joined, models={"check": "openai:gpt-4o-mini"})
open_ended = Flow("open_ended", draft, models={"*": "some-model"}).add("more", draft, deps=["draft"])
unknown = brief.options(models={"check": "unheard-of"})
