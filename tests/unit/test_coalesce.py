"""Requests that are made together travel together, and each gets its own reply or its own error."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton_dsl.runtime.coalesce import MOST, Coalescer


class Recorder:
    """Doubles numbers, remembers the batches, and fails for negative ones."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def double(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        await self.gate.wait()
        for number in numbers:
            if number < 0:
                raise ValueError(f"{number} is negative")
        return [2 * number for number in numbers]


async def ask(recorder: Recorder, numbers: Sequence[int]) -> list[int | BaseException]:
    return await asyncio.gather(*map(Coalescer(recorder.double).submit, numbers), return_exceptions=True)


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
    coalescer = Coalescer(recorder.double)
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


async def test_a_failed_batch_is_tried_one_by_one() -> None:
    recorder = Recorder()
    await ask(recorder, [1, -1, 2])
    assert recorder.batches == [[1, -1, 2], [1], [-1], [2]]


async def test_who_has_gone_away_is_not_asked_for() -> None:
    recorder = Recorder()
    coalescer = Coalescer(recorder.double)
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
    async def forgetful(numbers: Sequence[int]) -> list[int]:
        return [2 * number for number in numbers][1:]

    coalescer = Coalescer(forgetful)
    replies = await asyncio.gather(*map(coalescer.submit, (1, 2)), return_exceptions=True)
    assert [str(reply) for reply in replies] == ["1 requests got 0 replies", "1 requests got 0 replies"]


async def test_it_works_again_after_it_was_idle() -> None:
    recorder = Recorder()
    coalescer = Coalescer(recorder.double)
    assert [await coalescer.submit(1), await coalescer.submit(2)] == [2, 4]
    with pytest.raises(ValueError, match="-1 is negative"):
        await coalescer.submit(-1)
    assert await coalescer.submit(3) == 6
