"""One soak: a shard, its market, its traders and what goes wrong around it, checked as it goes."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

import asyncpg

from service.domain.quote import JUMP_CONFIRMATIONS
from service.storage.database import apply_migrations
from service.storage.embedded import EmbeddedPostgres, EmbeddedValkey
from service.storage.errors import Unreachable
from service.storage.importer import open_book
from telemetry import catalogue
from tests.soak.administrators import Administrators
from tests.soak.book import random_book
from tests.soak.checkpoint import Checkpoint
from tests.soak.figures import counted, how_loops_fared, never_happened
from tests.soak.listeners import Listeners
from tests.soak.logged import Errors
from tests.soak.market import NS_PER_S, TICK_NS, Clock, Market
from tests.soak.memory import BOUND, Memory
from tests.soak.shard import Shard
from tests.soak.traders import Traders

TICKS_AT_ONCE = 20
COMMANDS_AT_ONCE = 3
MAX_BACKLOG = 1_000
LISTENERS = 30
READERS = 2
READ_PAUSE_S = 0.05
JUMPS = 3  # in each part between two checkpoints
VALKEY_AWAY_S = 1.5
LOOK_TICKS = 2_000
_SEVER = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how much.

    Attributes:
        seconds: length, of wall time or, with `by_market`, of the market's time without its jumps.
        part_s: between two checkpoints, likewise.
        is_memory_judged: whether memory that grows is a fault.
        live_orders: how many orders live at most.
    """

    seed: int
    seconds: float
    part_s: float
    by_market: bool = False
    is_memory_judged: bool = True
    accounts: int = 600
    live_orders: int = 5_000


class Soak:
    """Runs a plan on servers of its own."""

    def __init__(self, plan: Plan, data_dir: Path) -> None:
        self._plan = plan
        self._random = Random(plan.seed)
        self._clock = Clock()
        self._market = Market(Random(plan.seed + 1), self._clock)
        self._postgres = EmbeddedPostgres(data_dir / "postgres")
        self._valkey = EmbeddedValkey(data_dir / "valkey")
        self._memory = Memory()
        self._errors = Errors()
        self._faults: list[str] = []
        self._ticks = 0
        self._feeding_s = 0.0
        self._done: Counter[str] = Counter()

    async def run(self) -> dict[str, object]:
        """Soak, and return the summary; its `faults` are empty if all was well."""
        self._errors.start()
        try:
            async with self._postgres, self._valkey:
                await self._open_book()
                return await self._trade()
        finally:
            self._errors.stop()

    async def _open_book(self) -> None:
        dsn = self._postgres.dsn
        await apply_migrations(dsn)
        connection = await asyncpg.connect(dsn)
        try:
            book = random_book(self._random, self._plan.accounts)
            await open_book(connection, book, self._clock.now)
        finally:
            await connection.close()

    async def _trade(self) -> dict[str, object]:
        shard = self._shard = Shard(self._postgres.dsn, self._valkey.url, self._clock)
        trading, random = shard.trading, self._random
        self._traders = Traders(random, trading, self._clock, self._plan.live_orders)
        self._administrators = Administrators(
            random, trading, shard.database, shard.reader, self._clock
        )
        listeners = Listeners(trading.sequence)
        started = time.perf_counter()
        async with shard.running():
            self._quote_all()
            accounts = random.sample(sorted(shard.desk.accounts), LISTENERS)
            await listeners.listen(shard.events, accounts)
            checkpoint = Checkpoint(shard, self._postgres.dsn, listeners)
            beside = [
                asyncio.create_task(each)
                for each in (
                    self._memory.watch(),
                    self._administrators.run(),
                    *(self._read() for _ in range(READERS)),
                )
            ]
            try:
                await self._go(checkpoint, beside)
                summary = self._summary(listeners, time.perf_counter() - started)
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.wait(beside)
        return summary

    async def _go(self, checkpoint: Checkpoint, beside: list["asyncio.Task[None]"]) -> None:
        parts = max(1, round(self._plan.seconds / self._plan.part_s))
        for part in range(parts):
            await self._feed_part(part)
            if part == parts - 1:
                await self._administrators.rest()
                await self._administrators.resume_all_trading()
            await self._stand_still(checkpoint)
            self._faults += [f"checkpoint {part + 1}: {each}" for each in await checkpoint.check()]
            self._done["checkpoints"] += 1
            self._faults += [repr(task.exception()) for task in beside if task.done()]
            if self._faults:
                return
            if part == 0:
                self._memory.is_warm()

    # The market

    async def _feed_part(self, part: int) -> None:
        """Feed ticks at full speed until the next checkpoint is due, with all that goes on."""
        random, shard = self._random, self._shard
        due = sorted(
            [
                *((random.random(), self._jump) for _ in range(JUMPS)),
                (random.uniform(0.2, 0.4), self._sever),
                *([(random.uniform(0.5, 0.7), self._restart_valkey)] if part % 2 == 0 else []),
            ],
            key=lambda each: each[0],
        )
        under_way: list[asyncio.Task[None]] = []
        self._administrators.resume()
        started = time.perf_counter()
        first_tick = self._ticks
        while (gone := self._gone(started, first_tick)) < 1:
            while due and due[0][0] <= gone:
                under_way.append(asyncio.create_task(due.pop(0)[1]()))
            if self._ticks % LOOK_TICKS == 0:
                self._traders.look()
            for _ in range(TICKS_AT_ONCE):
                shard.quote(self._market.next())
            self._ticks += TICKS_AT_ONCE
            for _ in range(COMMANDS_AT_ONCE):
                self._traders.act()
            await asyncio.sleep(0)
            while shard.trading.backlog > MAX_BACKLOG:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
        self._feeding_s += time.perf_counter() - started
        if under_way:
            await asyncio.gather(*under_way)

    def _gone(self, started: float, first_tick: int) -> float:
        """Return how much of a part is over, 0 to 1."""
        if self._plan.by_market:
            return (self._ticks - first_tick) * TICK_NS / NS_PER_S / self._plan.part_s
        return (time.perf_counter() - started) / self._plan.part_s

    def _quote_all(self) -> None:
        for quote in self._market.all():
            self._shard.quote(quote)

    async def _stand_still(self, checkpoint: Checkpoint) -> None:
        """Let everything come to rest at prices that have judged everybody."""
        await self._traders.at_rest()
        await self._administrators.rest()
        while True:
            await checkpoint.settled()
            quotes = list(self._market.all())
            # Until every jump is believed, and once more: the last market may change what the
            # accounts of the first one are worth.
            for _ in range(JUMP_CONFIRMATIONS + 1):
                for quote in quotes:
                    self._shard.quote(quote)
            if not self._shard.desk.owing:
                return

    # What goes wrong

    async def _jump(self) -> None:
        self._market.jump()
        self._quote_all()
        self._done["jumps"] += 1

    async def _sever(self) -> None:
        connection = await asyncpg.connect(self._postgres.dsn)
        try:
            self._done["severed"] += await connection.fetchval(_SEVER)
        finally:
            await connection.close()

    async def _restart_valkey(self) -> None:
        await self._valkey.stop()
        await asyncio.sleep(VALKEY_AWAY_S)
        await self._valkey.start()
        self._done["valkey_restarts"] += 1

    async def _read(self) -> None:
        """Ask for portfolios, as the gateway does."""
        shard = self._shard
        while True:
            account_id = self._random.choice(list(shard.desk.accounts))
            try:
                await shard.portfolios.process_portfolio_update(account_id)
                self._done["portfolios"] += 1
            except Unreachable:
                self._done["portfolios_unreachable"] += 1
            await asyncio.sleep(READ_PAUSE_S)

    # What is told

    def _summary(self, listeners: Listeners, seconds: float) -> dict[str, object]:
        shard, desk = self._shard, self._shard.desk
        counts = counted(shard)
        first, last = self._memory.thirds()
        faults = [*self._faults, *self._traders.faults, *self._administrators.faults]
        faults += [f"logged: {each}" for each in self._errors.first]
        faults += never_happened(counts)
        if self._plan.is_memory_judged and last > BOUND * first:
            faults.append(f"memory grew from {first:.1f} to {last:.1f} MB")
        committed = counts[catalogue.DECISIONS.name].get("committed", 0)
        return {
            "seed": self._plan.seed,
            "seconds": round(seconds, 1),
            "market_hours": round(self._ticks * TICK_NS / NS_PER_S / 3600, 2),
            "ticks": self._ticks,
            "ticks_per_s": round(self._ticks / self._feeding_s),
            "decisions_per_s": round(committed / self._feeding_s),
            "memory_mb": {"first_third": round(first, 1), "last_third": round(last, 1)},
            "accounts": len(desk.accounts),
            "live_orders": len(desk.orders),
            "open_positions": desk.open_positions,
            "events_heard": listeners.events,
            **self._done,
            "counts": counts,
            "commands": dict(self._traders.outcomes),
            "administrators": dict(self._administrators.outcomes),
            "loops": how_loops_fared(shard),
            "errors_logged": self._errors.count,
            "faults": faults,
        }
