"""(q) The doors: what a trader notices of 5,000 idle sockets and 300 slow senders.

Measured: `tapewatch serve` on a PostgreSQL with fsync and a Valkey, with `tapewatch load` as its
market, its traders and 20 who listen (1,000 ticks and 100 commands a second): how long a command
takes until its answer, and a price until it arrives. Before the doors stands a crowd, in a process
of its own (`tests/bench/doors_crowd.py`): nobody, 5,000 idle sockets, slow senders, or both. Of the
slow a third sends bodies a byte at a time, a third stops half-way through a handshake, a third
never reads; they come all at once, and whoever is turned away comes back at once. The crowds take
turns, round by round the other way about. Five seconds make a sample; those in which a crowd comes
or goes do not count.

Against: nobody else, and the crowd of both before another door: a bare server in a process of its
own (`tests/bench/doors_bare.py`), which has nothing to do with the service but shares the two
processors, on which all of this runs, with it. What a trader notices of that crowd is the
machine's; what he notices beyond it, when the same crowd stands before the service, is the
service's own doing. What the crowds and the bare server take of the processors is in the figures.

Targets: with any crowd a trader's medians are at most 1.25 times, 99th percentiles at most 1.5
times those without, and those with the crowd of both at most as many times those with the same
crowd elsewhere, all within the noise.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import uvloop
from tqdm import tqdm

from service.load.figures import ANSWERED, QUOTES_PUSHED
from service.load.figures import Figures as LoadFigures
from service.storage.embedded import EmbeddedValkey
from tests.bench.claims_cpu import process_cpu_s
from tests.bench.loaded_service import SECRET, Scale, loaded_service, loading
from tests.bench.machine import allow_sockets
from tests.bench.processes import answer, process, tell
from tests.bench.report import Report
from tests.bench.server import BUILD, bench_postgres
from tests.service_process import Service
from tests.support import fresh_database

MAX_MEDIAN, MAX_P99 = 1.25, 1.5
LONG_S = 3_600
INTERVAL_TIMEOUT_S = 60.0
CROWD_TIMEOUT_S = 300.0
POLL_S = 0.05
LATENCIES = (ANSWERED, QUOTES_PUSHED)


class Crowd(Enum):
    """Who else is there: what figures call it, and who stands where.

    Attributes:
        has_idle, has_slow: before the service.
        is_elsewhere: both, but before the bare server.
    """

    NOBODY = ("nobody else", False, False, False)
    IDLE = ("idle sockets", True, False, False)
    BOTH = ("idle sockets and slow senders", True, True, False)
    SLOW = ("slow senders", False, True, False)
    ELSEWHERE = ("both elsewhere", False, False, True)

    def __init__(self, label: str, has_idle: bool, has_slow: bool, is_elsewhere: bool) -> None:
        self.label = label
        self.has_idle = has_idle
        self.has_slow = has_slow
        self.is_elsewhere = is_elsewhere


class Sizes(NamedTuple):
    """How many, and how long: a crowd stays for `intervals` of the load's."""

    idle: int = 5_000
    slow: int = 300
    rounds: int = 3
    intervals: int = 3
    load: Scale = Scale(orders=10_000, sockets=20, commands=100, burst=10, seconds=LONG_S)
    ticks_per_s: int = 1_000


class Said(msgspec.Struct):
    """What the crowd tells of itself: how slow ones ended, and why idle ones were lost."""

    ends: dict[str, int]
    lost: list[str]


class Watched(NamedTuple):
    """The service, what its load tells and who notes it, and the crowds here and elsewhere."""

    service: Service
    intervals: Sequence[LoadFigures]
    noting: asyncio.Task[None]
    crowd: asyncio.subprocess.Process
    bare: asyncio.subprocess.Process
    crowd_elsewhere: asyncio.subprocess.Process

    async def becomes(self, crowd: Crowd, sizes: Sizes) -> Said:
        """Let others stand there; return what became of those before the service."""
        elsewhere = crowd.is_elsewhere
        tell(self.crowd, f"{sizes.idle * crowd.has_idle} {sizes.slow * crowd.has_slow}")
        tell(self.crowd_elsewhere, f"{sizes.idle * elsewhere} {sizes.slow * elsewhere}")
        both = (self.crowd, self.crowd_elsewhere)
        here, there = [
            msgspec.json.decode(await answer(each, CROWD_TIMEOUT_S), type=Said) for each in both
        ]
        if here.lost or there.lost:
            raise RuntimeError(f"idle sockets were ended: {here.lost} here, {there.lost} elsewhere")
        return here

    def crowds_cpu_s(self) -> float:
        """Return the CPU time of both crowds so far."""
        return process_cpu_s(self.crowd.pid) + process_cpu_s(self.crowd_elsewhere.pid)

    def bare_cpu_s(self) -> float:
        """Return the CPU time of the bare server so far."""
        return process_cpu_s(self.bare.pid)

    async def next_intervals(self, count: int) -> Sequence[LoadFigures]:
        """Return the next that begin from now on."""
        begun = len(self.intervals) + 1  # the one that goes on has begun before
        async with asyncio.timeout(count * INTERVAL_TIMEOUT_S):
            while len(self.intervals) < begun + count:
                await asyncio.wait((self.noting,), timeout=POLL_S)
                if self.noting.done():
                    self.noting.result()
                    raise RuntimeError("the load has ended: see above")
        return self.intervals[begun : begun + count]

    def memory_kb(self) -> float:
        """Return the service's resident memory."""
        pages = int(Path(f"/proc/{self.service.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e3


def run(report: Report) -> None:
    """Measure all crowds in turns."""
    allow_sockets()
    uvloop.run(measure(report, Sizes()))


async def measure(report: Report, sizes: Sizes) -> None:
    """Measure at these sizes, and draw the figures."""
    async with bench_postgres() as postgres, fresh_database(postgres) as dsn:
        with TemporaryDirectory(prefix="bench-", dir=BUILD) as name:
            folder = Path(name).resolve()
            async with (
                EmbeddedValkey(folder / "valkey") as valkey,
                _watched(dsn, valkey.url, folder, sizes) as watched,
            ):
                ends = await _take_turns(report, watched, sizes)
    _conclude(report, ends, sizes.idle)


@asynccontextmanager
async def _watched(dsn: str, redis_url: str, folder: Path, sizes: Sizes) -> AsyncIterator[Watched]:
    accounts = sizes.load.orders // 5
    async with (
        loaded_service(dsn, redis_url, folder, sizes.load) as service,
        loading(service, sizes.load, sizes.ticks_per_s) as lines,
    ):
        port = service.environment["TAPEWATCH_PORT"]
        intervals: list[LoadFigures] = []

        async def note() -> None:
            async for figures in lines:
                intervals.append(figures)

        noting = asyncio.create_task(note())
        try:
            module = "tests.bench.doors_crowd"
            async with process("tests.bench.doors_bare") as bare:
                elsewhere = await answer(bare)
                async with (
                    process(module, port, SECRET, str(accounts)) as crowd,
                    process(module, elsewhere, SECRET, str(accounts)) as crowd_elsewhere,
                ):
                    yield Watched(service, intervals, noting, crowd, bare, crowd_elsewhere)
        finally:
            noting.cancel()
            await asyncio.wait((noting,))


async def _take_turns(report: Report, watched: Watched, sizes: Sizes) -> Counter[str]:
    ends: Counter[str] = Counter()
    await watched.next_intervals(1)
    before_kb = watched.memory_kb()
    for number in tqdm(range(sizes.rounds), "rounds", leave=False):
        # One thing changes at a time, so that the idle come and go once a round.
        for crowd in list(Crowd) if number % 2 == 0 else list(Crowd)[::-1]:
            said = await watched.becomes(crowd, sizes)
            ends.update(said.ends)
            if crowd.has_idle and "memory of an idle socket, kB" not in report.rounds:
                grown = watched.memory_kb() - before_kb
                report.add("memory of an idle socket, kB", grown / sizes.idle)
            began, crowds, bare = time.monotonic(), watched.crowds_cpu_s(), watched.bare_cpu_s()
            for interval in await watched.next_intervals(sizes.intervals):
                _note(report, crowd, interval)
            seconds = time.monotonic() - began
            taken = (watched.crowds_cpu_s() - crowds) / seconds
            report.add(f"{crowd.label}: cores taken by the crowd", taken)
            if crowd.is_elsewhere:
                taken = (watched.bare_cpu_s() - bare) / seconds
                report.add("cores taken by the bare server", taken)
    ends.update((await watched.becomes(Crowd.NOBODY, sizes)).ends)
    return ends


def _note(report: Report, crowd: Crowd, interval: LoadFigures) -> None:
    for name in LATENCIES:
        view = interval.latencies[name]
        assert view.p50_ms is not None, name
        assert view.p99_ms is not None, name
        report.add(f"{crowd.label}: {name}, median, ms", view.p50_ms)
        report.add(f"{crowd.label}: {name}, p99, ms", view.p99_ms)
    report.add(f"{crowd.label}: cores taken by the service", interval.service_cpu)
    report.add(f"{crowd.label}: commands refused", interval.refused)


def _conclude(report: Report, ends: Counter[str], idle_sockets: int) -> None:
    alone, elsewhere = Crowd.NOBODY.label, Crowd.ELSEWHERE.label
    for what, limit in (("median", MAX_MEDIAN), ("p99", MAX_P99)):
        for name in LATENCIES:
            for crowd in Crowd:
                series = f"{crowd.label}: {name}, {what}"
                report.figure(series, report.rounds[f"{series}, ms"], "ms")
            for crowd in (Crowd.IDLE, Crowd.BOTH, Crowd.SLOW):
                report.ratio(
                    f"{name}, {what}: with {crowd.label} : without",
                    f"{crowd.label}: {name}, {what}, ms",
                    f"{alone}: {name}, {what}, ms",
                    at_most=limit,
                    within_noise=True,
                )
            report.ratio(
                f"{name}, {what}: with both elsewhere : without",
                f"{elsewhere}: {name}, {what}, ms",
                f"{alone}: {name}, {what}, ms",
            )
            report.ratio(
                f"{name}, {what}: with both here : elsewhere",
                f"{Crowd.BOTH.label}: {name}, {what}, ms",
                f"{elsewhere}: {name}, {what}, ms",
                at_most=limit,
                within_noise=True,
            )
    for taker in ("service", "crowd"):
        for crowd in Crowd:
            series = f"{crowd.label}: cores taken by the {taker}"
            report.figure(series, report.rounds[series], "cores")
    series = "cores taken by the bare server"
    report.figure(f"{elsewhere}: {series}", report.rounds[series], "cores")
    taken = (
        report.rounds[f"{crowd.label}: cores taken by the service"]
        for crowd in (Crowd.IDLE, Crowd.NOBODY)
    )
    report.figure(
        "an idle socket takes of the service",
        [(idle - alone) / idle_sockets * 1e6 for idle, alone in zip(*taken, strict=True)],
        "µs/s",
        is_paired=True,
    )
    for crowd in Crowd:
        series = f"{crowd.label}: commands refused"
        report.figure(series, report.rounds[series], "in 5 s")
    report.figure("memory of an idle socket", report.rounds["memory of an idle socket, kB"], "kB")
    for end, count in sorted(ends.items()):
        report.figure(f"slow senders that ended: {end}", [count], "")
