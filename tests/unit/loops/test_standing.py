"""Standing loops: what dies, ends or gives no sign of life is started again."""

import asyncio

import pytest

from service.loops.loop import HEALTHY_AFTER_S
from service.loops.loop_status import LoopKind, LoopState
from service.loops.supervisor import RESTART_CAP_S
from telemetry.pulse import Pulse
from tests.unit.loops.clock import UNIX_START_S, ManualClock, settle
from tests.unit.loops.supervised import (
    BAD,
    DEADLINE_S,
    LOOP,
    Loops,
)


class Relay:
    """A standing loop: each life begins, and ends as the test says."""

    def __init__(self, clock: ManualClock) -> None:
        self.pulse = Pulse()
        self.begun: list[float] = []
        self._clock = clock
        self._end: asyncio.Future[None]

    async def run(self) -> None:
        self.begun.append(self._clock.now_s)
        self._end = asyncio.get_running_loop().create_future()
        await self._end

    async def end(self, error: Exception | None = None) -> None:
        if error is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(error)
        await settle()


async def live(relay: Relay, clock: ManualClock, seconds: float) -> None:
    """Let time pass, with a beat a second."""
    for _ in range(int(seconds)):
        relay.pulse.beat()
        await clock.advance(1)


@pytest.fixture
async def relay(loops: Loops) -> Relay:
    relay = Relay(loops.clock)
    loops.group.keep(LOOP, relay.run, relay.pulse, deadline_s=DEADLINE_S)
    await settle()
    return relay


async def test_a_standing_loop_runs_at_once_and_is_well_while_it_beats(
    loops: Loops, relay: Relay
) -> None:
    assert (relay.begun, loops.status().state) == ([0], LoopState.RUNNING)
    await live(relay, loops.clock, 100)
    status = loops.status()
    assert (status.runs, status.errors, status.interval_s) == (1, 0, 0)
    assert (status.kind, status.is_ill) == (LoopKind.STANDING, False)
    assert loops.exported()["last_success_timestamp_seconds"] == UNIX_START_S + 100


async def test_what_dies_or_ends_is_started_again_after_ever_longer_waits(
    loops: Loops, relay: Relay, log: list[str]
) -> None:
    waits = [0.5, 1, 2, 4, 8, 16, RESTART_CAP_S, RESTART_CAP_S]
    for number, wait in enumerate(waits):
        await relay.end(BAD if number % 2 else None)
        assert (loops.status().state, loops.status().interval_s) == (LoopState.BACKING_OFF, wait)
        await loops.clock.advance(wait)
    assert [b - a for a, b in zip(relay.begun, relay.begun[1:], strict=False)] == waits
    status = loops.status()
    assert (status.restarts, status.errors, status.consecutive_errors) == (8, 8, 8)
    assert (status.state, status.is_ill) == (LoopState.RUNNING, True), "not proven yet"
    assert log[0] == f"ERROR loop {LOOP} failed 1 times in a row: Died: it ended by itself\n"


async def test_a_standing_loop_is_well_again_when_it_has_lived_for_a_while(
    loops: Loops, relay: Relay
) -> None:
    await live(relay, loops.clock, 10)
    await relay.end(BAD)
    await loops.clock.advance(0.5)
    await relay.end(BAD)
    await loops.clock.advance(1)
    await live(relay, loops.clock, HEALTHY_AFTER_S - 1)
    assert loops.status().consecutive_errors == 2
    await live(relay, loops.clock, 1)
    status = loops.status()
    assert (status.consecutive_errors, status.is_ill) == (0, False)
    assert status.recovered_s == 1.5, "from the first error to the life that lasted"
    await relay.end(BAD)
    assert loops.status().interval_s == 0.5, "it starts over"


async def test_a_standing_loop_without_a_sign_of_life_is_ended_and_started_again(
    loops: Loops, relay: Relay
) -> None:
    await live(relay, loops.clock, 7)
    await loops.clock.advance(DEADLINE_S + 5)
    status = loops.status()
    assert len(relay.begun) == 2
    assert status.last_error == "Overran: no sign of life for 20 s, in run"
    exported = loops.exported()
    assert (exported["overruns_total"], exported["restarts_total"]) == (1, 1)
    assert exported["last_success_timestamp_seconds"] == UNIX_START_S + 10


async def test_a_loop_that_rests_is_not_stalled(loops: Loops) -> None:
    pulse, work = Pulse(), asyncio.Event()

    async def run() -> None:
        await pulse.rest(work.wait())
        await asyncio.Event().wait()

    loops.group.keep(LOOP, run, pulse, deadline_s=DEADLINE_S)
    await loops.clock.advance(2_000)
    assert (loops.status().errors, loops.status().runs) == (0, 1)
    work.set()
    await settle()
    await loops.clock.advance(DEADLINE_S * 2)
    assert loops.exported()["overruns_total"] == 1


async def test_an_upstream_part_that_hangs_is_found_beside_one_that_lives(loops: Loops) -> None:
    pulse = Pulse()
    lives = 0

    async def beat(part: Pulse) -> None:
        while True:
            await loops.clock.sleep(1)
            part.beat()

    async def run() -> None:
        nonlocal lives
        lives += 1
        pulse.part()
        await beat(pulse.part())

    loops.group.keep(LOOP, run, pulse, deadline_s=DEADLINE_S)
    await loops.clock.advance(DEADLINE_S + 1)
    assert (lives, loops.exported()["overruns_total"]) == (2, 1)
