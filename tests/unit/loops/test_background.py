"""Background loops run again whatever happens, are counted, and log ever less of the same."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar

import pytest
from loguru import logger

from service.instruments import Instruments
from service.loops import background
from service.loops.background import RESTART_CAP_S, Background, keep_running, repeat
from service.storage.errors import Unreachable
from telemetry import catalogue
from tests.support import eventually

LOOP = "sweep"
Outcome = Exception | None


class Enough(BaseException):
    """Ends a loop: it is none of the errors that loops outlive."""


class Script:
    """A run that ends as it is told, one outcome after the other."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = iter(outcomes)
        self.runs = 0

    async def __call__(self) -> None:
        try:
            outcome = next(self._outcomes)
        except StopIteration:
            raise Enough from None
        self.runs += 1
        if outcome is not None:
            raise outcome


@pytest.fixture
def instruments() -> Instruments:
    return Instruments()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The sleeps of the loops, which take no time."""
    asked: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        asked.append(seconds)
        await sleep(0)

    monkeypatch.setattr(f"{background.__name__}.asyncio.sleep", note)
    return asked


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What is logged as `LEVEL message`, with its traceback."""
    lines: list[str] = []
    sink = logger.add(
        lambda line: lines.append(str(line)), format="{level} {message}", backtrace=False
    )
    yield lines
    logger.remove(sink)


def counts(instruments: Instruments) -> tuple[float, float, float]:
    """Return how many runs, how many failed, and how many in a row."""
    metrics = instruments.metrics
    return (
        metrics.counter(catalogue.LOOP_RUNS).child(LOOP).value,
        metrics.counter(catalogue.LOOP_ERRORS).child(LOOP).value,
        metrics.gauge(catalogue.LOOP_CONSECUTIVE_ERRORS).child(LOOP).value,
    )


def last_success(instruments: Instruments) -> float:
    return instruments.metrics.gauge(catalogue.LOOP_LAST_SUCCESS).child(LOOP).value


# Repeated


async def test_a_repeated_run_waits_its_interval_first(
    instruments: Instruments, waits: list[float]
) -> None:
    script = Script(None, None)
    with pytest.raises(Enough):
        await repeat(LOOP, 7.5, script, instruments)
    assert waits == [7.5] * 3
    assert counts(instruments) == (2, 0, 0)
    assert last_success(instruments) > 0


async def test_failures_are_counted_and_a_good_run_ends_the_row(
    instruments: Instruments, waits: list[float], log: list[str]
) -> None:
    with pytest.raises(Enough):
        await repeat(LOOP, 1, Script(*[ValueError("bad")] * 3), instruments)
    assert counts(instruments) == (3, 3, 3)
    assert last_success(instruments) == 0
    with pytest.raises(Enough):
        await repeat(LOOP, 1, Script(ValueError("bad"), None, None), instruments)
    assert counts(instruments) == (6, 4, 0)
    assert last_success(instruments) > 0
    assert log[-1] == f"INFO loop {LOOP} runs again after 1 failures\n"


async def test_of_failures_in_a_row_ever_fewer_are_logged(
    instruments: Instruments, waits: list[float], log: list[str]
) -> None:
    with pytest.raises(Enough):
        await repeat(LOOP, 1, Script(*[ValueError("bad")] * 20), instruments)
    firsts = [line.splitlines()[0] for line in log]
    assert firsts == [
        f"ERROR loop {LOOP} failed {count} times in a row: bad" for count in (1, 2, 4, 8, 16)
    ]
    assert all("ValueError" in line for line in log), "with their traceback"


async def test_a_new_row_of_failures_is_logged_from_its_first(
    instruments: Instruments, waits: list[float], log: list[str]
) -> None:
    bad = ValueError("bad")
    with pytest.raises(Enough):
        await repeat(LOOP, 1, Script(bad, bad, bad, None, bad), instruments)
    assert [line.splitlines()[0].split(" ", 3)[3] for line in log] == [
        "failed 1 times in a row: bad",
        "failed 2 times in a row: bad",
        "runs again after 3 failures",
        "failed 1 times in a row: bad",
    ]


async def test_a_database_that_is_away_is_logged_without_a_traceback(
    instruments: Instruments, waits: list[float], log: list[str]
) -> None:
    with pytest.raises(Enough):
        await repeat(LOOP, 1, Script(Unreachable("away")), instruments)
    assert log == [f"ERROR loop {LOOP} failed 1 times in a row: away\n"]


# Kept running


async def test_what_dies_or_ends_is_started_again_after_ever_longer_waits(
    instruments: Instruments, waits: list[float], log: list[str]
) -> None:
    script = Script(ValueError("bad"), None, *[ValueError("bad")] * 7)
    with pytest.raises(Enough):
        await keep_running(LOOP, script, instruments)
    assert script.runs == 9
    assert waits == [0.5, 1, 2, 4, 8, 16, RESTART_CAP_S, RESTART_CAP_S, RESTART_CAP_S]
    assert counts(instruments) == (9, 9, 9)
    assert last_success(instruments) == 0
    assert log[0].startswith(f"ERROR loop {LOOP} died\n")
    assert "ValueError: bad" in log[0]
    assert log[1] == f"ERROR loop {LOOP} ended by itself\n"
    assert len(log) == 9


async def test_a_long_run_makes_the_next_wait_short_again(
    instruments: Instruments, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    lengths = iter([1.0, 1.0, RESTART_CAP_S, RESTART_CAP_S + 0.001, 1.0])

    async def run() -> None:
        nonlocal now
        length = next(lengths, None)
        if length is None:
            raise Enough
        now += length
        raise ValueError("bad")

    monkeypatch.setattr(f"{background.__name__}.time.perf_counter", lambda: now)
    with pytest.raises(Enough):
        await keep_running(LOOP, run, instruments)
    assert waits == [0.5, 1, 2, 0.5, 1]
    assert counts(instruments) == (5, 5, 2)


# Together


@pytest.fixture
async def loops(instruments: Instruments) -> AsyncIterator[Background]:
    async with Background(instruments) as loops:
        yield loops


async def test_the_series_of_a_loop_exist_before_its_first_run(
    instruments: Instruments, loops: Background
) -> None:
    loops.repeat(LOOP, 3600, Script())
    loops.keep("publisher", asyncio.Event().wait)
    await asyncio.sleep(0)
    exported = {
        sample.labels["loop"]: sample.value
        for family in instruments.metrics.collect()
        for sample in family.samples
        if sample.name == catalogue.LOOP_RUNS.name
    }
    assert exported == {LOOP: 0, "publisher": 0}


async def test_loops_end_with_their_context(instruments: Instruments) -> None:
    ended: list[str] = []

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("kept")

    async def run_once() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("repeated")

    before = asyncio.all_tasks()
    async with Background(instruments) as loops:
        loops.keep("publisher", run)
        loops.repeat(LOOP, 0, run_once)
        await asyncio.sleep(0)
        running = asyncio.all_tasks() - before
        assert len(running) == 2
        await asyncio.sleep(0.01)
    assert sorted(ended) == ["kept", "repeated"]
    assert all(task.done() for task in running)
    assert counts(instruments) == (0, 0, 0), "a cancelled run is no failed one"


async def test_a_run_is_never_there_twice_at_once(loops: Background) -> None:
    running = 0
    most = 0
    runs = 0

    async def run_once() -> None:
        nonlocal running, most, runs
        running += 1
        runs += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    loops.repeat(LOOP, 0, run_once)
    await eventually(lambda: runs > 3)
    assert most == 1


async def test_a_loop_does_not_inherit_the_context_of_who_starts_it(loops: Background) -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    request.set("of a client")
    seen: list[str] = []

    async def run_once() -> None:
        seen.append(request.get())

    loops.repeat(LOOP, 0, run_once)
    await eventually(lambda: bool(seen))
    assert seen[0] == "none"
