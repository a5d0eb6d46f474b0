"""The supervisor: loops by name and group, from their first series to their end."""

import asyncio
from contextvars import ContextVar
from random import Random

import pytest

from service.instruments import Instruments
from service.loops.loop import CANCEL_GRACE_S
from service.loops.loop_status import LoopKind, LoopState
from service.loops.rhythm import Rhythm
from service.loops.supervisor import Supervisor
from telemetry import catalogue
from telemetry.pulse import Pulse
from tests.support import eventually
from tests.unit.loops.clock import ManualClock, settle
from tests.unit.loops.supervised import (
    BAD,
    INTERVAL_S,
    LOOP,
    MAX_INTERVAL_S,
    Loops,
    NoJitter,
    Script,
)


async def test_every_series_of_a_loop_exists_before_its_first_run(loops: Loops) -> None:
    loops.repeat()
    families = [
        family
        for family in catalogue.METRICS
        if [label.name for label in family.labels] == ["loop"]
    ]
    exported = loops.exported()
    for family in families:
        short = family.name.removeprefix("tapewatch_loop_")
        name = f"{short}_count" if family.buckets else short
        assert exported[name] == (INTERVAL_S if short == "interval_seconds" else 0)


async def test_a_name_is_given_once(loops: Loops) -> None:
    loops.repeat()
    with pytest.raises(ValueError, match="a loop sweep already"):
        loops.repeat()


async def test_parts_of_a_name_add_up_and_the_worst_of_them_shows(loops: Loops) -> None:
    script, first = Script(loops.clock, BAD, BAD), Script(loops.clock)
    for part, run in (("0", first), ("1", script)):
        loops.group.of_part(part).repeat(
            LOOP, run, interval_s=INTERVAL_S, max_interval_s=MAX_INTERVAL_S
        )
    with pytest.raises(ValueError, match="a loop sweep/1 already"):
        loops.group.of_part("1").repeat(LOOP, script, interval_s=INTERVAL_S)
    await loops.clock.advance(INTERVAL_S)
    well, ill = loops.status("sweep/0"), loops.status("sweep/1")
    assert (well.runs, well.errors, well.is_ill) == (1, 0, False)
    assert (ill.runs, ill.errors, ill.is_ill) == (1, 1, True)
    exported = loops.exported()
    assert (exported["runs_total"], exported["errors_total"]) == (2, 1)
    assert exported["consecutive_errors"] == 1
    assert exported["interval_seconds"] == 2 * INTERVAL_S
    assert exported["last_success_timestamp_seconds"] == 0, "one has never been well"
    await loops.clock.advance(60)
    assert loops.exported()["consecutive_errors"] == 0
    assert loops.exported()["last_success_timestamp_seconds"] > 0


@pytest.mark.parametrize("times", [(0, 1, 1), (2, 1, 1), (1, 1, 0), (float("nan"), 1, 1)])
def test_times_that_make_no_sense_are_refused(times: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        Rhythm(LoopKind.REPEATING, *times)


@pytest.mark.parametrize("kind", LoopKind)
def test_an_interval_stays_at_its_cap_however_long_it_goes_on(kind: LoopKind) -> None:
    rhythm = Rhythm(kind, 0.5, 30, 1)
    assert [rhythm.interval_after(failures) for failures in (100, 2_000)] == [30, 30]


async def test_loops_end_with_their_group(clock: ManualClock, log: list[str]) -> None:
    loops = Loops(clock, Instruments())
    before = asyncio.all_tasks()
    async with loops.supervisor.group() as outer:
        outer.keep("relay", asyncio.Event().wait, Pulse())
        async with loops.supervisor.group() as loops.group:
            script = loops.repeat(1e9)
            loops.repeat(name="idle")
            await clock.advance(INTERVAL_S)
            assert script.running == 1
        assert script.running == 0
        assert loops.status().state is LoopState.STOPPED
        assert loops.status("relay").state is LoopState.RUNNING
    assert loops.status().is_ill, "it does not run"
    assert asyncio.all_tasks() == before
    assert (loops.status().errors, loops.exported()["errors_total"]) == (0, 0)
    assert log == []


async def test_the_end_does_not_wait_for_a_loop_that_will_not(
    clock: ManualClock, log: list[str]
) -> None:
    may_end = asyncio.Event()

    async def stubborn() -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    async def serve() -> None:
        async with Supervisor(Instruments(), NoJitter(), clock.clock).group() as group:
            group.keep(LOOP, stubborn, Pulse())
            await asyncio.sleep(0)

    serving = asyncio.create_task(serve())
    await settle()
    try:
        await clock.advance(CANCEL_GRACE_S)
        assert serving.done()
        assert log == [f"ERROR loop {LOOP} does not end: it is left behind\n"]
    finally:
        may_end.set()
        await settle()


async def test_what_fails_as_it_is_ended_is_not_lost(clock: ManualClock, log: list[str]) -> None:
    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise BAD

    async with Supervisor(Instruments(), NoJitter(), clock.clock).group() as group:
        group.keep(LOOP, run, Pulse())
        await settle()
    assert log[0].startswith(f"ERROR loop {LOOP} failed as it ended\n")
    assert "ValueError: bad" in log[0]


async def test_a_loop_inherits_nothing_and_passes_nothing_on(loops: Loops) -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    request.set("of a client")
    seen: list[str] = []

    async def run_once() -> None:
        seen.append(request.get())
        request.set("of the last run")

    loops.group.repeat(LOOP, run_once, interval_s=1)
    await loops.clock.advance(3)
    assert seen == ["none"] * 3


async def test_on_the_real_clock_runs_are_one_at_a_time_and_end() -> None:
    running = most = runs = 0

    async def run_once() -> None:
        nonlocal running, most, runs
        running += 1
        runs += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        if runs == 3:
            raise BAD

    supervisor = Supervisor(Instruments(), Random())
    async with supervisor.group() as group:
        group.repeat(LOOP, run_once, interval_s=0.001)
        group.repeat("hangs", asyncio.Event().wait, interval_s=0.001, deadline_s=0.01)
        group.keep("silent", asyncio.Event().wait, Pulse(), deadline_s=0.01)

        def both_hung() -> bool:
            errors = {each.name: each.errors for each in supervisor.statuses()}
            return runs > 5 and errors["hangs"] > 1 and errors["silent"] > 1

        await eventually(both_hung)
    assert most == 1
    assert supervisor.statuses()[0].errors == 1
