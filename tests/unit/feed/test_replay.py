"""Replays wait as the recording did, give way at full speed, and loop with times that go on."""

import asyncio
from collections.abc import Iterator

import pytest

from service.domain.quote import Quote
from service.feed.replay import YIELD_EVERY, ReplayFeed

S = 1_000_000_000


class Stage:
    """Collects quotes; its sleep passes no time, and says how much was asked for in all."""

    def __init__(self) -> None:
        self.quotes: list[Quote] = []
        self.waits: list[float] = []
        self.readied = 0
        self.laps = 0

    def take(self, quote: Quote) -> None:
        self.quotes.append(quote)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    async def ready(self) -> None:
        self.readied += 1

    def recording(self, *times: int) -> Iterator[Quote]:
        self.laps += 1
        return (Quote("EURUSD", n, n + 1, time) for n, time in enumerate(times, 1))


@pytest.mark.parametrize(("speed", "factor"), [(1.0, 1), (10.0, 10)])
async def test_waits_are_those_of_the_recording_divided_by_the_speed(
    speed: float, factor: int
) -> None:
    stage = Stage()
    feed = ReplayFeed(
        lambda: stage.recording(1_000 * S, 1_100 * S, 1_100 * S, 1_050 * S, 1_300 * S),
        speed=speed,
        sleep=stage.sleep,
        ready=stage.ready,
    )
    assert not feed.healthy
    await feed.run(stage.take)
    assert [quote.time // S for quote in stage.quotes] == [1_000, 1_100, 1_100, 1_050, 1_300]
    # No time passes in these sleeps, so each wait is counted from the start of the replay.
    assert [round(wait * factor) for wait in stage.waits] == [100, 100, 50, 300]
    assert stage.readied == len(stage.waits)
    assert (feed.healthy, feed.last_message_time) == (True, 1_300 * S)


async def test_full_speed_never_waits_but_gives_way_and_asks_whether_more_can_be_taken() -> None:
    stage = Stage()
    total = YIELD_EVERY * 4 + 7
    feed = ReplayFeed(
        lambda: stage.recording(*range(1, total + 1)),
        speed=None,
        sleep=stage.sleep,
        ready=stage.ready,
    )
    await feed.run(stage.take)
    assert len(stage.quotes) == total
    assert stage.waits == [0.0] * 4
    assert stage.readied == 4


async def test_full_speed_is_held_back_until_ready() -> None:
    stage = Stage()
    gate = asyncio.Event()

    async def ready() -> None:
        await gate.wait()

    feed = ReplayFeed(lambda: stage.recording(*range(1, 2_000)), speed=None, ready=ready)
    async with asyncio.TaskGroup() as group:
        group.create_task(feed.run(stage.take))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(stage.quotes) == YIELD_EVERY - 1
        gate.set()
    assert len(stage.quotes) == 1_999


async def test_a_loop_goes_on_in_time() -> None:
    stage = Stage()
    feed = ReplayFeed(
        lambda: stage.recording(10 * S, 12 * S), speed=None, loop=True, sleep=stage.sleep
    )

    def take(quote: Quote) -> None:
        stage.take(quote)
        if len(stage.quotes) == 6:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await feed.run(take)
    assert [quote.time // S for quote in stage.quotes] == [10, 12, 13, 15, 16, 18]
    assert stage.laps == 3


async def test_a_live_clock_stamps_the_quotes() -> None:
    stage = Stage()
    times = iter((7, 8))
    feed = ReplayFeed(
        lambda: stage.recording(10 * S, 12 * S),
        speed=None,
        live_clock=times.__next__,
        sleep=stage.sleep,
    )
    await feed.run(stage.take)
    assert stage.quotes == [Quote("EURUSD", 1, 2, 7), Quote("EURUSD", 2, 3, 8)]


async def test_an_empty_recording_ends_and_cannot_be_looped() -> None:
    stage = Stage()
    await ReplayFeed(stage.recording, speed=None).run(stage.take)
    with pytest.raises(ValueError, match="without any quote"):
        await ReplayFeed(stage.recording, speed=None, loop=True).run(stage.take)
    assert stage.quotes == []


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_must_be_above_zero(speed: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ReplayFeed(Stage().recording, speed=speed)
