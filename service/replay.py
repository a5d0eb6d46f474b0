"""Replay: a scenario and its ticks through the real service path, on a database of its own.

The ticks' times are the clock. Decisions never depend on how long a commit takes, so that the same
inputs give the same deals, byte for byte. An interrupted replay of the same inputs resumes: prices
are primed up to the last committed tick, which is judged once more, and the rest follows.
"""

import asyncio
import contextlib
import csv
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import asyncpg
from loguru import logger
from tqdm import tqdm

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.instrument import Symbol
from service.domain.quote import REPLAY_GUARD, Quote, QuoteRefusal
from service.feed.replay import ReplayFeed
from service.instruments import Instruments
from service.loops.leadership import Leadership
from service.loops.publisher import Publisher
from service.loops.rollover import ReplayedRollover
from service.loops.rules import Rules
from service.loops.sweep import Sweeps
from service.loops.trading import Trading
from service.replay_summary import Figures, summarise
from service.scenario.fault import Fault, Faults
from service.scenario.folder import Scenario, read_scenario
from service.scenario.ticks import read_ticks
from service.servers import Servers
from service.storage import replays
from service.storage.cache import Cache
from service.storage.connection import Connection
from service.storage.database import Database, apply_migrations
from service.storage.errors import Fenced, Unreachable
from service.storage.importer import Opening, open_book
from service.storage.outbox import Outbox
from service.storage.queue import MAX_BATCH, Written
from service.storage.reader import Reader

LEASE_S = 2.0
SWEEP_INTERVAL_NS = 5_000_000_000
MAX_BACKLOG = 4 * MAX_BATCH
SCENARIO_FILES = ("symbols", "groups", "group_symbols", "accounts", "orders")


class Plan(NamedTuple):
    """What to replay; `speed` None is as fast as possible, 1 as recorded."""

    folder: Path
    scenario: Scenario
    ticks: Path
    speed: float | None
    deals: Path | None


def plan_replay(folder: Path, ticks: Path | None, speed: float | None, deals: Path | None) -> Plan:
    """Check the inputs of a replay, and that its deals can be written.

    Raises:
        ScenarioError: the scenario is at fault, there are no ticks, or nowhere to write the deals.
    """
    scenario = read_scenario(folder)
    ticks = ticks or scenario.ticks or folder / "ticks.csv"
    read_ticks(ticks, {}, _ignore)  # which raises at once where there are none
    if deals is not None and not _is_writable(deals):
        faults = Faults()
        faults.add(deals, 1, "", "must be a file that can be written, in a folder that exists")
        faults.check()
    return Plan(folder, scenario, ticks, speed, deals)


def _is_writable(path: Path) -> bool:
    return os.access(path if path.exists() else path.parent, os.W_OK) and not path.is_dir()


class Replay:
    """One replay, from an empty or an interrupted database to its summary."""

    def __init__(self, plan: Plan, servers: Servers, instruments: Instruments) -> None:
        self._plan = plan
        self._servers = servers
        self._instruments = instruments
        self._dsn = replays.replay_dsn(servers.database_dsn)
        self._symbols = {symbol.name: symbol for symbol in plan.scenario.symbols}
        self._refused: Counter[str] = Counter()
        self._commit_ms: list[float] = []

    async def run(self) -> dict[str, object]:
        """Replay to the end, write the deals, and return the summary."""
        await self._prepare()
        async with AsyncExitStack() as stack:
            database = Database(self._dsn, self._instruments)
            stack.push_async_callback(database.close)
            cache = Cache(self._servers.redis_url, self._instruments)
            stack.push_async_callback(cache.close)
            trading = self._trading(database)
            publisher = Publisher(cache, Outbox(database), self._instruments)
            trading.written_hooks += [self._note_commit, publisher.publish]
            trading.lead_hooks.append(publisher.lead)
            rules = Rules("replay", REPLAY_GUARD, LEASE_S, is_replay=True)
            leadership = Leadership(database, trading, rules)
            sweeps = Sweeps(database, trading, self._instruments, clock=lambda: _latest(trading))
            fenced = False
            try:
                async with asyncio.TaskGroup() as tasks:
                    background = [
                        tasks.create_task(leadership.run()),
                        tasks.create_task(publisher.run()),
                    ]
                    await leadership.gained()
                    started = time.perf_counter()
                    ticks = await self._feed(trading, sweeps, leadership.last_tick)
                    seconds = time.perf_counter() - started
                    await leadership.stop()
                    for task in background:
                        task.cancel()
            except* Fenced:
                fenced = True
            if fenced:
                raise ReplayInterrupted(
                    "another replay of the same inputs has taken over: wait for its end"
                )
            async with database.read("replay") as connection:
                if self._plan.deals is not None:
                    await _write_deals(connection, self._plan.deals)
                figures = Figures(
                    ticks,
                    seconds,
                    self._refused,
                    self._commit_ms,
                    sweeps.missed,
                    self._instruments.failed_decisions,
                )
                summary = await summarise(connection, figures)
                await replays.finish(connection)
                return summary

    async def _prepare(self) -> None:
        """Resume the interrupted replay of these inputs, or open the scenario's book anew."""
        plan = self._plan
        inputs = replays.Inputs(
            replays.digest(*(plan.folder / f"{name}.csv" for name in SCENARIO_FILES)),
            replays.digest(plan.ticks),
        )
        if await replays.is_interrupted(self._dsn, inputs):
            logger.info("resuming the interrupted replay of {}", plan.folder)
            return
        await replays.recreate(self._servers.database_dsn)
        await apply_migrations(self._dsn)
        first = next(iter(read_ticks(plan.ticks, self._symbols, _ignore)), None)
        opened = 0 if first is None else first.time
        scenario = plan.scenario
        opening = Opening(
            scenario.symbols,
            scenario.groups,
            scenario.group_symbols,
            scenario.accounts,
            scenario.orders.placed_at(opened),
        )
        connection = await asyncpg.connect(self._dsn)
        try:
            await open_book(connection, opening, opened)
            await replays.begin(connection, inputs)
        finally:
            await connection.close()

    def _trading(self, database: Database) -> Trading:
        def symbols() -> dict[str, Symbol]:
            return self._symbols

        engine = Engine(Desk(), REPLAY_GUARD)
        return Trading(database, Reader(database, symbols), self._instruments, engine)

    async def _feed(self, trading: Trading, sweeps: Sweeps, last_tick: int) -> int:
        """Feed all ticks, sweep on their time and at the end; return how many there were."""
        ticks = 0
        next_sweep = 0
        sweeping: asyncio.Task[None] | None = None
        held: list[Quote] = []
        rollover = ReplayedRollover(trading)
        plan = self._plan
        with tqdm(total=_count_lines(plan.ticks) - 1, unit="tick", mininterval=0.5) as bar:

            def take(quote: Quote) -> None:
                nonlocal ticks
                if held or trading.backlog > MAX_BACKLOG:
                    held.append(quote)  # until `ready`, lest the engine judge more than it may
                    return
                is_judged = ticks + 1 >= last_tick
                if quote.time >= rollover.due:
                    rollover.pass_by(quote.time, is_settled=not is_judged)
                    if trading.backlog > MAX_BACKLOG:
                        held.append(quote)
                        return
                ticks += 1
                judge = trading.on_quote_at if is_judged else trading.prime
                refusal = judge(quote, quote.time)
                if refusal is not None:
                    self._refused[refusal] += 1

            async def ready() -> None:
                nonlocal next_sweep, sweeping
                while held:
                    await trading.drained()
                    waiting, held[:] = held[:], ()
                    for quote in waiting:
                        take(quote)
                bar.update(ticks - bar.n)
                if trading.backlog > MAX_BACKLOG:
                    await trading.drained()
                latest = _latest(trading)
                is_due = ticks >= last_tick and latest >= next_sweep
                if is_due and (sweeping is None or sweeping.done()):
                    next_sweep = latest + SWEEP_INTERVAL_NS
                    sweeping = asyncio.create_task(_sweep(sweeps))

            quotes = lambda: read_ticks(plan.ticks, self._symbols, self._note_malformed)  # noqa: E731
            await ReplayFeed(quotes, speed=plan.speed, ready=ready).run(take)
            await ready()
            bar.update(ticks - bar.n)
        if sweeping is not None:
            await sweeping
        await trading.drained()
        await sweeps.run_once()
        await trading.drained()
        _raise_fault(trading)
        return ticks

    def _note_malformed(self, fault: Fault) -> None:
        self._refused[QuoteRefusal.MALFORMED] += 1
        self._instruments.quote_refused(QuoteRefusal.MALFORMED)
        logger.debug("malformed tick: {}", fault)

    def _note_commit(self, written: Sequence[Written]) -> None:
        now = time.perf_counter_ns()
        self._commit_ms.extend(
            [(now - each.received_ns) / 1e6 for each in written if each.received_ns]
        )


class ReplayInterrupted(Exception):
    """The replay stopped before its end; the same command resumes it."""


def _raise_fault(trading: Trading) -> None:
    """Fail a replay in which the rules raised: without that account its deals prove nothing."""
    for account_id, fault in trading.desk.faults.items():
        logger.error("the rules failed for order {} of account {}", fault.order_id, account_id)
        raise fault.error


def _latest(trading: Trading) -> int:
    """Return the time of the latest tick, ns UTC, which is the clock of a replay."""
    return max((market.time for market in trading.desk.markets.values()), default=0)


async def _sweep(sweeps: Sweeps) -> None:
    with contextlib.suppress(Unreachable):  # the next one will ask again
        await sweeps.run_once()


async def _write_deals(connection: Connection, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(replays.DEAL_COLUMNS)
        async for row in replays.deals(connection):
            writer.writerow(row)


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _ignore(fault: Fault) -> None:
    """The first tick is only looked at for its time; faults are counted when it is fed."""
