"""Repeating loops: what fails, hangs or dies is counted, backed off and run again."""

import asyncio
from random import Random

import pytest

from service.instruments import Instruments
from service.loops.loop import CANCEL_AGAIN_S, CANCEL_GRACE_S, JITTER
from service.loops.loop_status import LoopState
from service.loops.supervisor import Supervisor
from service.storage.errors import Unreachable
from telemetry.thresholds import LOOP_ERRORS_LIMIT
from tests.unit.loops.clock import UNIX_START_S, ManualClock, settle
from tests.unit.loops.supervised import (
    BAD,
    DEADLINE_S,
    INTERVAL_S,
    LOOP,
    MAX_INTERVAL_S,
    Loops,
    Script,
)


async def test_a_run_is_due_an_interval_after_the_last_began(loops: Loops) -> None:
    script = loops.repeat(None, 4.0, 9.5, 15.0)
    await settle()
    assert loops.status().state is LoopState.STARTING
    await loops.clock.advance(60)
    assert script.begun == [10, 20, 30, 40.5, 56.5], "a tenth of an interval is always left free"


async def test_waits_are_cut_by_up_to_a_tenth_at_random(clock: ManualClock) -> None:
    supervisor = Supervisor(Instruments(), Random(3), clock.clock)
    script = Script(clock)
    async with supervisor.group() as group:
        group.repeat(LOOP, script, interval_s=INTERVAL_S)
        await clock.advance(200)
    assert len(set(script.waits)) == len(script.waits) > 15
    assert all(INTERVAL_S * (1 - JITTER) <= wait <= INTERVAL_S for wait in script.waits)


async def test_who_hurries_has_the_next_run_at_once_and_the_others_as_ever(loops: Loops) -> None:
    script = loops.repeat(None, 5.0)
    await loops.clock.advance(13)
    loops.hurry()
    await loops.clock.advance(2)
    loops.hurry()  # while it runs: what it has not seen is for another run
    await loops.clock.advance(40)
    assert script.begun == [10, 13, 18, 28, 38, 48]


async def test_what_has_nothing_to_run_for_rests_and_is_well(loops: Loops) -> None:
    during = asyncio.Event()
    script = Script(loops.clock, None, BAD)
    hurry = loops.group.of_part("", during).repeat(LOOP, script, interval_s=INTERVAL_S)
    await loops.clock.advance(1_000)
    hurry()
    await settle()
    assert (script.begun, loops.status().state) == ([], LoopState.RESTING)
    assert loops.exported()["last_success_timestamp_seconds"] == UNIX_START_S + 1_000
    during.set()
    await settle()
    assert loops.status().state is LoopState.STARTING
    assert loops.exported()["last_success_timestamp_seconds"] == UNIX_START_S + 1_000
    await loops.clock.advance(2 * INTERVAL_S)
    assert script.begun == [1_010, 1_020]
    assert (loops.status().state, loops.status().is_ill) == (LoopState.BACKING_OFF, True)
    during.clear()
    await loops.clock.advance(1_000)
    assert (loops.status().state, loops.status().is_ill) == (LoopState.RESTING, False)
    assert loops.exported()["consecutive_errors"] == 0
    assert loops.exported()["last_success_timestamp_seconds"] == UNIX_START_S + 2_020
    assert (script.begun, loops.status().next_run_at) == ([1_010, 1_020], None)


@pytest.mark.parametrize("failures", [5, 6, 7])
async def test_failures_in_a_row_are_counted_backed_off_and_recovered_from(
    loops: Loops, failures: int
) -> None:
    other = loops.repeat(name="other")
    script = loops.repeat(*[BAD] * failures)
    first_s = INTERVAL_S
    last_s = first_s + 20 + 30 * (failures - 2)
    await loops.clock.advance(last_s)
    status = loops.status()
    assert script.waits == [20, *[30] * (failures - 2)]
    assert (status.state, status.is_ill) == (LoopState.BACKING_OFF, True)
    assert (status.errors, status.consecutive_errors) == (failures, failures)
    assert (status.interval_s, status.last_error) == (MAX_INTERVAL_S, "ValueError: bad")
    assert (status.last_success_at, status.recovered_s) == (None, None)
    exported = loops.exported()
    assert exported["errors_total"] == exported["consecutive_errors"] == failures
    assert exported["error_streaks_total"] == (failures > LOOP_ERRORS_LIMIT)
    assert (exported["interval_seconds"], exported["recovery_seconds_count"]) == (30, 0)

    await loops.clock.advance(30)
    status = loops.status()
    assert (status.state, status.is_ill) == (LoopState.IDLE, False)
    assert (status.consecutive_errors, status.interval_s) == (0, INTERVAL_S)
    assert status.recovered_s == last_s + 30 - first_s
    assert status.last_error == "ValueError: bad", "it is kept for who comes later"
    exported = loops.exported()
    assert (exported["errors_total"], exported["consecutive_errors"]) == (failures, 0)
    assert exported["recovery_seconds_count"] == 1
    assert exported["recovery_seconds_sum"] == status.recovered_s
    assert exported["last_success_timestamp_seconds"] == UNIX_START_S + last_s + 30
    assert exported["runs_total"] == exported["seconds_count"] == failures + 1
    assert set(other.waits) == {INTERVAL_S}, "the others go on as ever"
    assert loops.status("other").errors == 0


async def test_a_run_past_its_deadline_is_cancelled_and_run_again(
    loops: Loops, log: list[str]
) -> None:
    other = loops.repeat(name="other")
    script = loops.repeat(1e9)
    await loops.clock.advance(INTERVAL_S + DEADLINE_S - 1)
    assert (loops.status().state, script.running) == (LoopState.RUNNING, 1)
    await loops.clock.advance(1)
    status = loops.status()
    assert (status.state, script.running) == (LoopState.BACKING_OFF, 0)
    assert status.last_error == "Overran: not done within 20 s, in __call__ > sleep"
    assert status.last_duration_s == DEADLINE_S
    assert loops.exported()["overruns_total"] == 1
    assert log == [f"ERROR loop {LOOP} failed 1 times in a row: {status.last_error}\n"]
    await loops.clock.advance(20)
    assert len(script.begun) == 2
    assert (loops.status().state, loops.status().recovered_s) == (LoopState.IDLE, 20)
    assert set(other.waits) == {INTERVAL_S}


async def test_a_run_that_will_not_end_is_never_joined_by_another(
    loops: Loops, log: list[str]
) -> None:
    may_end = asyncio.Event()
    cancelled = begun = 0

    async def stubborn() -> None:
        nonlocal begun, cancelled
        begun += 1
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                cancelled += 1

    other = loops.repeat(name="other")
    loops.group.repeat(LOOP, stubborn, interval_s=INTERVAL_S, deadline_s=DEADLINE_S)
    await loops.clock.advance(INTERVAL_S + DEADLINE_S)
    assert loops.status().state is LoopState.CANCELLING
    await loops.clock.advance(CANCEL_GRACE_S)
    assert loops.status().state is LoopState.STUCK
    assert log[-1] == (
        f"CRITICAL loop {LOOP} is stuck in stubborn > wait: it stands still until that ends\n"
    )
    exported = loops.exported()
    assert (exported["stuck"], exported["abandoned_total"], exported["errors_total"]) == (1, 1, 1)
    await loops.clock.advance(CANCEL_AGAIN_S * 2)
    assert (begun, cancelled, loops.status().state) == (1, 3, LoopState.STUCK)
    assert set(other.waits) == {INTERVAL_S}
    may_end.set()
    await settle()
    assert loops.status().state is LoopState.BACKING_OFF
    assert loops.exported()["stuck"] == 0
    await loops.clock.advance(INTERVAL_S * 2)
    assert (begun, loops.status().is_ill) == (2, False)


class Broken(BaseException):
    """No error that anybody expects."""


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Broken("badly"), "Broken: badly"),
        (asyncio.CancelledError(), "Died: it was cancelled from within"),
    ],
)
async def test_a_loop_that_dies_is_started_again(
    loops: Loops, outcome: BaseException, told: str
) -> None:
    script = loops.repeat(None, outcome)
    await loops.clock.advance(INTERVAL_S * 2)
    assert loops.status().last_error == told
    assert loops.status().restarts == 0
    await loops.clock.advance(INTERVAL_S * 2)
    assert len(script.begun) == 3
    status = loops.status()
    assert (status.state, status.restarts, status.errors) == (LoopState.IDLE, 1, 1)
    assert loops.exported()["restarts_total"] == 1


async def test_of_failures_in_a_row_ever_fewer_are_logged(loops: Loops, log: list[str]) -> None:
    loops.repeat(*[BAD] * 20, None, BAD)
    await loops.clock.advance(INTERVAL_S + MAX_INTERVAL_S * 22)
    firsts = [line.splitlines()[0].split(" ", 3)[3] for line in log]
    assert firsts == [
        *(f"failed {count} times in a row: ValueError: bad" for count in (1, 2, 4, 8, 16)),
        "is well again after 20 failures in a row, 590.0 s after the first",
        "failed 1 times in a row: ValueError: bad",
        "is well again after 1 failures in a row, 20.0 s after the first",
    ]
    assert "Traceback" in log[0]


async def test_a_database_that_is_away_is_logged_without_a_traceback(
    loops: Loops, log: list[str]
) -> None:
    loops.repeat(Unreachable("connection refused"))
    await loops.clock.advance(INTERVAL_S)
    assert log == [f"ERROR loop {LOOP} failed 1 times in a row: Unreachable: connection refused\n"]
