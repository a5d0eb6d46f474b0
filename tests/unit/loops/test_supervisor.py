"""Loops under supervision: what fails, hangs or dies is counted, backed off and run again."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from random import Random

import pytest
from loguru import logger

from service.instruments import Instruments
from service.loops.loop import CANCEL_AGAIN_S, CANCEL_GRACE_S, HEALTHY_AFTER_S, JITTER
from service.loops.loop_status import LoopKind, LoopState, LoopStatus
from service.loops.rhythm import Rhythm
from service.loops.supervisor import RESTART_CAP_S, LoopGroup, Supervisor
from service.storage.errors import Unreachable
from telemetry import catalogue
from telemetry.pulse import Pulse
from tests.support import eventually
from tests.unit.loops.clock import UNIX_START_S, ManualClock, settle

LOOP = "sweep"
INTERVAL_S, MAX_INTERVAL_S, DEADLINE_S = 10.0, 30.0, 20.0
BAD = ValueError("bad")


class NoJitter(Random):
    def uniform(self, a: float, b: float) -> float:
        return b


class Script:
    """A run that ends as it is told, one outcome after the other, and is well in the end."""

    def __init__(self, clock: ManualClock, *outcomes: BaseException | float | None) -> None:
        self._clock = clock
        self._outcomes = list(outcomes)
        self.begun: list[float] = []
        self.running = 0

    async def __call__(self) -> None:
        self.begun.append(self._clock.now_s)
        self.running += 1
        assert self.running == 1, "there are never two runs at once"
        try:
            outcome = self._outcomes.pop(0) if self._outcomes else None
            if isinstance(outcome, float):
                await self._clock.sleep(outcome)
            elif outcome is not None:
                raise outcome
        finally:
            self.running -= 1

    @property
    def waits(self) -> list[float]:
        """The times between one beginning and the next."""
        return [after - before for before, after in zip(self.begun, self.begun[1:], strict=False)]


class Loops:
    """A supervisor on a clock of the test's, with one group."""

    def __init__(self, clock: ManualClock, instruments: Instruments) -> None:
        self.clock = clock
        self.instruments = instruments
        self.supervisor = Supervisor(instruments, NoJitter(), clock.clock)
        self.group: LoopGroup

    def repeat(self, *outcomes: BaseException | float | None, name: str = LOOP) -> Script:
        script = Script(self.clock, *outcomes)
        self.group.repeat(
            name,
            script,
            interval_s=INTERVAL_S,
            max_interval_s=MAX_INTERVAL_S,
            deadline_s=DEADLINE_S,
        )
        return script

    def status(self, name: str = LOOP) -> LoopStatus:
        return next(each for each in self.supervisor.statuses() if each.name == name)

    def exported(self, name: str = LOOP) -> dict[str, float]:
        """Return what is exported of a loop, by the metric's name without `tapewatch_loop_`."""
        return {
            sample.name.removeprefix("tapewatch_loop_"): sample.value
            for family in self.instruments.metrics.collect()
            for sample in family.samples
            if sample.labels.get("loop") == name and "le" not in sample.labels
        }


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def loops(clock: ManualClock) -> AsyncIterator[Loops]:
    loops = Loops(clock, Instruments())
    async with loops.supervisor.group() as loops.group:
        yield loops


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What is logged as `LEVEL message`, with its traceback."""
    lines: list[str] = []
    sink = logger.add(
        lambda line: lines.append(str(line)), format="{level} {message}", backtrace=False
    )
    yield lines
    logger.remove(sink)


# Repeating


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


# Standing


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


# Together


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
