"""Signs of life: what beats or rests is well, what does neither is not."""

import asyncio

from telemetry.pulse import Pulse


def looks(pulse: Pulse, count: int) -> list[int]:
    return [pulse.look() for _ in range(count)]


def test_looks_without_a_beat_are_counted_until_the_next() -> None:
    pulse = Pulse()
    assert looks(pulse, 2) == [1, 2]
    pulse.beat()
    assert looks(pulse, 3) == [0, 1, 2]


async def test_what_rests_is_never_quiet_and_wakes_with_a_beat() -> None:
    pulse, work = Pulse(), asyncio.Event()
    resting = asyncio.create_task(pulse.rest(work.wait()))
    await asyncio.sleep(0)
    assert looks(pulse, 3) == [0, 0, 0]
    work.set()
    assert await resting is True
    assert looks(pulse, 2) == [0, 1]


async def test_a_rest_that_is_cut_short_is_over() -> None:
    pulse = Pulse()
    resting = asyncio.create_task(pulse.rest(asyncio.Event().wait()))
    await asyncio.sleep(0)
    resting.cancel()
    await asyncio.wait((resting,))
    assert looks(pulse, 2) == [0, 1]


def test_a_lively_part_does_not_cover_one_that_hangs() -> None:
    pulse = Pulse()
    lively, hanging = pulse.part(), pulse.part()
    hanging.beat()
    for quiet in range(3):
        lively.beat()
        assert pulse.look() == quiet


def test_a_new_life_begins_with_nothing() -> None:
    pulse = Pulse()
    pulse.part()
    looks(pulse, 5)
    pulse.reset()
    pulse.beat()
    assert looks(pulse, 2) == [0, 1]
