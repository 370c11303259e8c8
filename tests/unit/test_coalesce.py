"""Requests at the same moment share one batch, and each gets its own reply or error."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from types import SimpleNamespace

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton_dsl.runtime.database import coalesce
from baton_dsl.runtime.database.coalesce import MOST, Coalescer
from baton_dsl.runtime.database.retrying import TRIES


class Recorder:
    """Doubles numbers, remembers the batches, and fails for negative ones."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def double(self, numbers: Sequence[int], _is_again: bool) -> list[int]:
        self.batches.append(list(numbers))
        await self.gate.wait()
        for number in numbers:
            if number < 0:
                raise ValueError(f"{number} is negative")
        return [2 * number for number in numbers]


async def ask(recorder: Recorder, numbers: Sequence[int]) -> list[int | BaseException]:
    return await asyncio.gather(*map(Coalescer("double", recorder.double).submit, numbers), return_exceptions=True)


@given(st.lists(st.integers(-3, 50), max_size=30))
def test_each_gets_its_own_reply_or_its_own_error(numbers: list[int]) -> None:
    replies = asyncio.run(ask(Recorder(), numbers))
    for number, reply in zip(numbers, replies, strict=True):
        assert reply == 2 * number if number >= 0 else str(reply) == f"{number} is negative"


async def test_what_is_asked_together_is_one_batch_in_order() -> None:
    recorder = Recorder()
    assert await ask(recorder, range(100)) == [2 * number for number in range(100)]
    assert recorder.batches == [list(range(100))]


async def test_what_comes_during_a_round_trip_is_the_next_batch() -> None:
    recorder = Recorder()
    coalescer = Coalescer("double", recorder.double)
    recorder.gate.clear()
    first = asyncio.create_task(coalescer.submit(1))
    while not recorder.batches:
        await asyncio.sleep(0)
    rest = [asyncio.create_task(coalescer.submit(number)) for number in (2, 3, 4)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert recorder.batches == [[1]]
    recorder.gate.set()
    assert await asyncio.gather(first, *rest) == [2, 4, 6, 8]
    assert recorder.batches == [[1], [2, 3, 4]]


async def test_a_batch_has_a_bound() -> None:
    recorder = Recorder()
    await ask(recorder, range(2 * MOST + 1))
    assert [len(batch) for batch in recorder.batches] == [MOST, MOST, 1]


async def test_a_failed_batch_is_tried_in_halves_until_each_has_failed_by_itself() -> None:
    recorder = Recorder()
    await ask(recorder, [1, -1, 2, 3])
    assert recorder.batches == [[1, -1, 2, 3], [1, -1], [2, 3], [1], [-1]]


class Server:
    """Answers each number with itself; some numbers get no answer, for a while or forever."""

    def __init__(self, errors: dict[int, list[Exception]]) -> None:
        self.errors = errors
        self.asked: list[tuple[list[int], bool]] = []

    async def echo(self, numbers: Sequence[int], is_again: bool) -> list[int]:
        self.asked.append((list(numbers), is_again))
        for number in numbers:
            if self.errors.get(number):
                raise self.errors[number].pop(0)
        await asyncio.sleep(0)
        return list(numbers)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.Event]:
    """The pauses before another try: each lasts until its event is set."""
    begun: list[asyncio.Event] = []

    async def pause(_seconds: float) -> None:
        begun.append(asyncio.Event())
        await begun[-1].wait()

    monkeypatch.setattr(coalesce, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": pause}))
    return begun


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_while_the_server_is_away_a_batch_is_tried_again_as_it_is(pauses: list[asyncio.Event]) -> None:
    server = Server({1: [psycopg.OperationalError("gone"), psycopg.errors.AdminShutdown()]})
    coalescer = Coalescer("echo", server.echo)
    replies = asyncio.gather(*map(coalescer.submit, (1, 2)))
    for number in range(2):
        await turns()
        pauses[number].set()
    assert await replies == [1, 2]
    assert server.asked == [([1, 2], False), ([1, 2], True), ([1, 2], True)]


async def test_a_request_that_is_not_answered_now_holds_up_nobody(pauses: list[asyncio.Event]) -> None:
    server = Server({1: [psycopg.errors.LockNotAvailable() for _ in range(4)]})
    coalescer = Coalescer("echo", server.echo)
    first = asyncio.create_task(coalescer.submit(1))
    assert await coalescer.submit(2) == 2
    assert await coalescer.submit(3) == 3
    assert not first.done()
    for number in range(3):
        await turns()
        pauses[number].set()
    assert await first == 1
    assert not any(is_again for _, is_again in server.asked)  # the server has undone each of them


async def test_what_repeating_can_not_cure_is_not_repeated(pauses: list[asyncio.Event]) -> None:
    server = Server({1: [psycopg.errors.ProgramLimitExceeded()] * 9})
    coalescer = Coalescer("echo", server.echo)
    replies = await asyncio.gather(*map(coalescer.submit, (1, 2)), return_exceptions=True)
    assert [type(reply) for reply in replies] == [psycopg.errors.ProgramLimitExceeded, int]
    assert server.asked == [([1, 2], False), ([1], False), ([2], False)]
    assert pauses == []


async def test_who_never_gets_an_answer_hears_the_last_error(pauses: list[asyncio.Event]) -> None:
    server = Server({1: [psycopg.errors.DiskFull(str(number)) for number in range(99)]})
    asked = asyncio.create_task(Coalescer("echo", server.echo).submit(1))
    while not asked.done():
        await turns()
        for pause in pauses:
            pause.set()
    with pytest.raises(psycopg.errors.DiskFull, match=str(TRIES)):
        await asked


async def test_what_is_asked_runs_in_a_context_of_its_own() -> None:
    mark: ContextVar[str] = ContextVar("mark", default="of the worker")
    seen: list[str] = []

    async def look(numbers: Sequence[int], _is_again: bool) -> Sequence[int]:
        seen.append(mark.get())
        mark.set("of a statement before")
        return numbers

    coalescer = Coalescer("look", look)

    async def step(number: int) -> None:
        mark.set("of a step")
        await coalescer.submit(number)

    for number in range(3):
        await asyncio.create_task(step(number))
    assert seen == ["of the worker"] * 3


async def test_who_has_gone_away_is_not_asked_for() -> None:
    recorder = Recorder()
    coalescer = Coalescer("double", recorder.double)
    recorder.gate.clear()
    first = asyncio.create_task(coalescer.submit(1))
    while not recorder.batches:
        await asyncio.sleep(0)
    gone, stays = (asyncio.create_task(coalescer.submit(number)) for number in (2, 3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    recorder.gate.set()
    assert await asyncio.gather(first, stays) == [2, 6]
    assert recorder.batches == [[1], [3]]


async def test_a_missing_reply_is_an_error_and_nobody_waits_for_ever() -> None:
    async def forgetful(numbers: Sequence[int], _is_again: bool) -> list[int]:
        return [2 * number for number in numbers][1:]

    coalescer = Coalescer("forget", forgetful)
    replies = await asyncio.gather(*map(coalescer.submit, (1, 2)), return_exceptions=True)
    assert [str(reply) for reply in replies] == ["1 requests got 0 replies", "1 requests got 0 replies"]


async def test_it_works_again_after_it_was_idle() -> None:
    recorder = Recorder()
    coalescer = Coalescer("double", recorder.double)
    assert [await coalescer.submit(1), await coalescer.submit(2)] == [2, 4]
    with pytest.raises(ValueError, match="-1 is negative"):
        await coalescer.submit(-1)
    assert await coalescer.submit(3) == 6


async def test_what_an_answer_has_started_is_asked_before_those_who_waited_go_on() -> None:
    """As in a chain: the settle of a step starts the next one, and should not wait for the end of that."""
    seen: list[str] = []
    started: list[asyncio.Task[None]] = []

    async def follow(numbers: Sequence[int], _is_again: bool) -> Sequence[int]:
        seen.append(f"asked {list(numbers)}")
        await asyncio.sleep(0)
        if numbers[0] < 3:
            started.append(asyncio.create_task(step(numbers[0] + 1)))
        return numbers

    async def rest() -> None:
        seen.append("rest")

    coalescer = Coalescer("follow", follow, rest=rest)

    async def step(number: int) -> None:
        await coalescer.submit(number)
        seen.append(f"{number} goes on")

    await step(1)
    await asyncio.gather(*started)
    await asyncio.gather(*started)
    assert seen[:5] == ["asked [1]", "asked [2]", "1 goes on", "asked [3]", "2 goes on"]
    assert sorted(seen[5:]) == ["3 goes on", "rest"]


async def test_it_rests_also_after_an_error() -> None:
    recorder = Recorder()
    rests: list[int] = []

    async def rest() -> None:
        rests.append(len(recorder.batches))

    coalescer = Coalescer("double", recorder.double, rest=rest)
    replies = await asyncio.gather(*map(coalescer.submit, (1, -1)), return_exceptions=True)
    assert [type(reply) for reply in replies] == [int, ValueError]
    while len(rests) < 3:  # of the batch, and of each half
        await asyncio.sleep(0)
    assert rests[0] == 1


async def test_what_is_asked_while_the_connection_is_given_back_is_sent_too() -> None:
    recorder = Recorder()
    late: list[asyncio.Future[int]] = []

    async def rest() -> None:
        if not late:
            await asyncio.sleep(0)
            late.append(coalescer.ask(2))
            await asyncio.sleep(0)

    coalescer = Coalescer("double", recorder.double, rest=rest)
    assert await coalescer.submit(1) == 2
    async with asyncio.timeout(10):
        while not late:
            await asyncio.sleep(0)
        assert await late[0] == 4
