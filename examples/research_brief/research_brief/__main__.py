"""Write the brief, and print what it cost and what the models received: `make example-brief`."""

import asyncio
import json
import sys
from decimal import Decimal

from oban import Oban
from psycopg_pool import AsyncConnectionPool

from baton_dsl import Workflow
from baton_dsl.llm import Totals
from baton_dsl.runtime import embedded
from research_brief.facts import Brief
from research_brief.flow import brief, research_brief

QUESTION = "Should a small town replace its street lights with LEDs?"
MOST = Decimal("0.50")
"""US dollars that one brief may cost."""


async def main(question: str) -> None:
    async with AsyncConnectionPool(embedded.start(), open=False) as pool, Oban(pool=pool, queues={"default": 4}):
        workflow = await research_brief.options(debug=True, budget=MOST).insert(question=question)
        status = await workflow.wait()
        print(f"workflow {workflow.id}: {status.outcome}")
        if status.outcome != "completed":
            print(await workflow.why())
            return
        tell_brief(await workflow.result(brief))
        await tell_cost(workflow)
        await tell_capture(workflow)


def tell_brief(found: Brief) -> None:
    print(f"\n{found.question}")
    for model, answer in found.answers.items():
        print(f"  {model}: {answer}")
    print(f"  {found.summary}")


async def tell_cost(workflow: Workflow[str]) -> None:
    usage = await workflow.usage()
    print(f"\n{'':30}  {'calls':>5}  {'input':>7}  {'output':>6}  {'US$':>9}")
    for name, totals in [*usage.steps.items(), *usage.models.items(), ("together", usage.total)]:
        print(_line(name, totals))
    print(f"of a budget of US$ {usage.budget}")


def _line(name: str, totals: Totals) -> str:
    cost = f"{'>' if totals.lower_bound else ''}{totals.cost:.5f}"
    return f"{name:30}  {totals.calls:5}  {totals.input:7,}  {totals.output:6,}  {cost:>9}"


async def tell_capture(workflow: Workflow[str]) -> None:
    (capture, *_) = await workflow.captures("brief")
    print(f"\nwhat {capture.model} saw in step {capture.node!r}, attempt {capture.attempt}:")
    print(f"  system: {capture.request['system']}")
    for message in capture.request["messages"]:
        print(f"  {message['role']}: " + message["content"].replace("\n", "\n    "))
    print(f"and said:\n  {json.dumps(capture.response['content'][0]['text'])}")


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or QUESTION))
