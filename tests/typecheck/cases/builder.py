"""Flows that are built with `.add`: the last call of a chain sees all of it."""

from baton_dsl import Flow, Input, StepContext, step


@step
def project(tile: Input[int]) -> int:
    return tile


@step
def montage(context: StepContext) -> int:
    return len(context.upstream)


@step
def report(montage: str) -> str:
    return montage


chained = Flow("chained").add("project_1", project.bind(tile=1)).add("montage", montage, deps=["project_1", "project_2"])
typed = Flow("typed", montage).add("report", report)
grown = Flow("grown", report)
for tile in range(3):
    grown.add(f"project_{tile}", project.bind(tiles=tile))
grown.add("montage", montage, deps=["whatever"])


def with_audit(flow: Flow) -> Flow:
    return flow.add("audit", montage)


handed = with_audit(Flow("handed", report))


async def main() -> None:
    await chained.insert(tile=1)
    await grown.insert(tile=1)

# mypy:
# 12:38: note: "montage" is defined here
# 17:12: error: parameter "montage" of step "report" is str, but upstream "montage" gives int  [baton-upstream-type]
# 17:12: note: help: annotate the parameter as int, or change what the upstream returns
# 21:109: error: step "montage" waits for "project_2", which is no step of the flow; did you mean "project_1"?  [baton-missing-upstream]
# 21:109: note: help: add that step to the flow, or drop the name
# 25:47: error: step "project" has no input called "tiles"; did you mean "tile"?  [baton-input]
# 25:47: note: help: the inputs are tile
# 37:26: error: the flow has no input called "tile"  [baton-input]
# 37:26: note: help: it takes no inputs
