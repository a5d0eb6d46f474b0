"""(r) One, two and four engines: what is reached, and what splitting costs.

Measured: the roles as processes of their own (`tapewatch serve --role ...`) on a PostgreSQL with
fsync and one Valkey: a feed, a gateway, and 1, 2 and 4 engines that share four shards of 10,000
orders and 2,000 accounts in 30 symbols. Numbers of engines take turns, another one first each
round; engines come and go in the deployment that runs, as they do in life. With each number, one
after the other:

- 1,000 ticks a second and no commands, about as many as travel one by one: what everybody takes to
  be there, and to be told of each;
- 10,000, 20,000 and 40,000 while it keeps up: ticks a second reached, by the slowest engine, and
  the CPU time of a tick beyond the 1,000 where that is;
- 100 ticks a second and no commands, then with 32 traders, each of whom places an order and cancels
  it as fast as he is answered: commands a second reached, how long an answer takes, and the CPU
  time of a command beyond what those ticks take.

CPU time is user and system time of the processes. All of it, with the market and the traders, runs
on the same processors, so what is reached is what they leave room for; the costs are what to
calculate with.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import uvloop
from tqdm import tqdm

from service.storage.embedded import EmbeddedValkey
from tests.bench.brokerage import accounts_for, desk_with_settings, opening_of, resting_orders, seat
from tests.bench.engines_deployment import (
    PARTS,
    Deployment,
    Stretch,
    deployed,
    feed_address,
)
from tests.bench.engines_load import Done
from tests.bench.loaded_service import SECRET
from tests.bench.machine import allow_sockets
from tests.bench.processes import answer, process, tell
from tests.bench.report import Report, turns
from tests.bench.server import BUILD, bench_postgres, store_book
from tests.support import fresh_database

SHARDS = 4
NUMBERS = (1, 2, 4)
ORDERS, ACCOUNTS = 10_000, 2_000
KEPT_UP = 0.97
MAX_REFUSED = 0.02  # as "the database is away", where a machine has far too much to do
QUIET, ALL = "1,000 ticks/s", "all together"


class Step(NamedTuple):
    """So many ticks a second and traders, for so long."""

    ticks_per_s: float
    traders: int
    seconds: float


class Steps(NamedTuple):
    """What is done with each number of engines, so many rounds."""

    quiet: Step = Step(1_000, 0, 3)
    climbing: tuple[Step, ...] = (Step(10_000, 0, 2.5), Step(20_000, 0, 2.5), Step(40_000, 0, 3))
    still: Step = Step(100, 0, 3)
    commands: Step = Step(100, 32, 5)
    rounds: int = 3


class Measured(NamedTuple):
    """A step's stretch, and what the load has done in it."""

    stretch: Stretch
    done: Done

    @property
    def ticks_per_s(self) -> float:
        """What the slowest engine judged."""
        return min(self.stretch.ticks_per_s)


class Bench(NamedTuple):
    """The deployment and its load."""

    deployment: Deployment
    load: asyncio.subprocess.Process

    async def step(self, step: Step) -> Measured:
        tell(self.load, f"{step.ticks_per_s} {step.traders} {step.seconds}")
        await answer(self.load)
        async with self.deployment.watched() as stretches:
            done = msgspec.json.decode(await answer(self.load), type=Done)
        if done.refused > MAX_REFUSED * done.commands:
            raise RuntimeError(f"{done.refused} of {done.commands} refused: {done.refusal}")
        await self.deployment.caught_up()
        return Measured(stretches[0], done)


def run(report: Report) -> None:
    """Measure all numbers in turns."""
    allow_sockets()
    uvloop.run(measure(report, Steps()))


async def measure(report: Report, steps: Steps) -> None:
    """Measure these steps, and draw the figures."""
    async with bench_postgres() as postgres, fresh_database(postgres) as dsn:
        desk = desk_with_settings()
        seat(desk, accounts_for(ORDERS))
        await store_book(dsn, opening_of(desk, ORDERS, resting_orders(desk, ORDERS)))
        with TemporaryDirectory(prefix="bench-", dir=BUILD) as name:
            folder, feed_url = Path(name).resolve(), feed_address()
            async with (
                EmbeddedValkey(folder / "valkey") as valkey,
                deployed(dsn, valkey.url, feed_url, folder, SHARDS, max(NUMBERS)) as deployment,
                process(
                    "tests.bench.engines_load",
                    feed_url,
                    str(deployment.port),
                    SECRET,
                    str(ACCOUNTS),
                ) as load,
            ):
                await _take_turns(report, Bench(deployment, load), steps)
    conclude(report)


async def _take_turns(report: Report, bench: Bench, steps: Steps) -> None:
    contenders = turns(NUMBERS, steps.rounds)
    for _, count in tqdm(contenders, "engines", steps.rounds * len(NUMBERS), leave=False):
        await bench.deployment.run_engines(count)
        quiet = await bench.step(steps.quiet)
        for step in steps.climbing:
            ticks = await bench.step(step)
            if ticks.ticks_per_s < KEPT_UP * step.ticks_per_s:
                break
        still, commands = await bench.step(steps.still), await bench.step(steps.commands)
        note(report, count, quiet, ticks, still, commands)


def note(
    report: Report,
    count: int,
    quiet: Measured,
    ticks: Measured,
    still: Measured,
    commands: Measured,
) -> None:
    """Take what was measured with so many engines in a round."""
    at = engines(count)
    report.add(f"{at}: ticks/s reached", ticks.ticks_per_s)
    per_s = commands.done.commands / commands.done.seconds
    report.add(f"{at}: commands/s reached", per_s)
    report.add(f"{at}: commands refused", commands.done.refused)
    for name, value in (("median", commands.done.median_ms), ("p99", commands.done.p99_ms)):
        assert value is not None, "traders who were never answered"
        report.add(f"{at}: command to answer, {name}, ms", value)
    totals = dict.fromkeys(("tick", "command"), 0.0)
    for part in PARTS:
        before = quiet.stretch.cores[part]
        of_tick = (ticks.stretch.cores[part] - before) / (ticks.ticks_per_s - quiet.ticks_per_s)
        of_command = (commands.stretch.cores[part] - still.stretch.cores[part]) / per_s
        report.add(f"{at}: {QUIET}, {part}, cores", before)
        report.add(f"{at}: a tick, {part}, µs", of_tick * 1e6)
        report.add(f"{at}: a command, {part}, µs", of_command * 1e6)
        totals["tick"] += of_tick * 1e6
        totals["command"] += of_command * 1e6
    for what, total in totals.items():
        report.add(f"{at}: a {what}, {ALL}, µs", total)


def conclude(report: Report) -> None:
    """Draw the figures from the rounds."""
    rounds = report.rounds
    first, *more = NUMBERS
    for count in NUMBERS:
        at = engines(count)
        report.figure(f"{at}: ticks/s reached", rounds[f"{at}: ticks/s reached"], "ticks/s")
        series = f"{at}: commands/s reached"
        report.figure(series, rounds[series], "commands/s")
        report.figure(f"{at}: commands refused", rounds[f"{at}: commands refused"], "")
        for name in ("median", "p99"):
            series = f"{at}: command to answer, {name}"
            report.figure(series, rounds[f"{series}, ms"], "ms")
        for part in (*PARTS, ALL):
            for what in ("tick", "command"):
                series = f"{at}: a {what}, {part}"
                report.figure(f"{series}, CPU", rounds[f"{series}, µs"], "µs")
        for part in PARTS:
            series = f"{at}: {QUIET}, {part}"
            report.figure(f"{series}, CPU", rounds[f"{series}, cores"], "cores")
    for count in more:
        for what in ("ticks/s reached", "commands/s reached"):
            series, base = (f"{engines(each)}: {what}" for each in (count, first))
            report.ratio(f"{what}: {engines(count)} : {engines(first)}", series, base)
        for what in ("tick", "command"):
            name = f"a {what}, {ALL}"
            series, base = (f"{engines(each)}: {name}, µs" for each in (count, first))
            report.ratio(f"CPU of {name}: {engines(count)} : {engines(first)}", series, base)
    _conclude_extra(report, first, more[-1])
    for what in ("tick", "command"):
        report.curve(
            f"CPU time of a {what} against engines",
            "engines",
            f"CPU of a {what}, µs",
            {
                part: {
                    count: [max(each, 0.0) for each in rounds[f"{at}: a {what}, {part}, µs"]]
                    for count, at in zip(NUMBERS, map(engines, NUMBERS), strict=True)
                }
                for part in PARTS
            },
            is_linear_x=True,
            is_linear_y=True,
        )


def _conclude_extra(report: Report, first: int, last: int) -> None:
    """Say what each engine adds beyond the first."""
    for what, unit in (("a tick", "µs"), ("a command", "µs"), (QUIET, "cores")):
        for part in PARTS:
            few, many = (
                report.rounds[f"{engines(count)}: {what}, {part}, {unit}"]
                for count in (first, last)
            )
            added = [(more - fewer) / (last - first) for more, fewer in zip(many, few, strict=True)]
            name = f"an extra engine adds to {what}: {part}, CPU"
            report.figure(name, added, unit, is_paired=True)


def engines(count: int) -> str:
    return f"{count} engine{'s' * (count > 1)}"
