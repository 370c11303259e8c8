"""What the tests of the command line run."""

from datetime import date

from baton_dsl import Flow, Input, step


@step
def fetch(region: Input[str], since: Input[date] = date(2026, 1, 1)) -> str:
    return f"{region} since {since:%B}"


@step
def count(fetch: str) -> int:
    return len(fetch)


@step(queue="mail", max_attempts=1)
async def mail(fetch: str, fail: Input[bool] = False) -> None:
    if fail:
        raise RuntimeError("no route\nto the post office")


@step
def report(count: int, mail: None, factors: Input[list[int]] = [1]) -> dict[str, int]:  # noqa: B006 - only read
    return {"total": count * sum(factors)}


shop = Flow("shop", fetch, count, mail, report)


@step(queue="never-served")
def stuck() -> None: ...


waiting = Flow("waiting", stuck)


@step
def egg(hen: int) -> int:
    return hen


@step
def hen(egg: int) -> int:
    return egg


farm = Flow("farm", egg, hen)
