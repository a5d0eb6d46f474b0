"""A checkpoint: the market stands still, what was decided is stored, and everything must agree."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, TypeVar

from service.domain.money import format_money
from service.loops.cache_audit import ACCOUNTS_IN_RUN
from service.storage.errors import Unreachable
from service.verify.verification import verify
from telemetry import catalogue
from tests.soak.facts import differences, facts_of, missing_entries, rebuilt
from tests.soak.listeners import Listeners
from tests.soak.shard import Shard
from tests.soak.solvency import insolvent

SETTLE_TIMEOUT_S = 60.0
POLL_S = 0.05
# What counts something that must never happen, and the labels that may.
_NEVER = (catalogue.MISSED_TRIGGERS, catalogue.RECONCILED_ORDERS, catalogue.CACHE_DIFFERENCES)


Result = TypeVar("Result")


class Laps(Random):
    """Draws samples that come round to everybody: each begins where the last one ended."""

    def __init__(self) -> None:
        super().__init__(0)
        self._at: dict[int, int] = {}

    def sample(self, population: Sequence[Any], k: int, *, counts: Any = None) -> list[Any]:
        """Return the next `k`; accounts and groups are told apart by how many they are."""
        size = len(population)
        at = self._at.get(size, 0)
        self._at[size] = at + k
        return [population[(at + number) % size] for number in range(k)]


class Checkpoint:
    """Checks one shard; nothing may be commanded meanwhile."""

    def __init__(self, shard: Shard, dsn: str, listeners: Listeners) -> None:
        self._shard = shard
        self._dsn = dsn
        self._listeners = listeners
        self._reconciliation = shard.reconciliation()
        self._audit = shard.cache_audit(Laps())
        self._portfolio = shard.portfolio_job()

    async def check(self) -> list[str]:
        """Return what is wrong."""
        await self.settled()
        shard = self._shard
        faults = [*insolvent(shard.desk, shard.clock.now), *missing_entries(shard.desk)]
        faults += differences(facts_of(shard.desk), await rebuilt(self._dsn))
        faults += map(str, (await verify(self._dsn)).faults)
        await _reached(shard.sweeps.run_once)
        await _reached(self._reconciliation.run_lap)
        faults += await self._cache()
        for metric in _NEVER:
            if counts := shard.counts(metric):
                faults.append(f"{metric.name} is {counts}")
        outcomes = shard.counts(catalogue.DECISIONS)
        if outcomes.keys() - {"committed"}:
            faults.append(f"decisions are {outcomes}")
        faults += await self._loops()
        return faults + self._listeners.faults

    async def settled(self) -> None:
        """Wait until everything has arrived everywhere."""
        shard = self._shard

        async def is_settled() -> bool:
            await shard.trading.drained()
            desk = shard.desk
            return (
                shard.trading.is_writing
                and not desk.owing
                and not shard.trading.settings_changes.in_flight
                and shard.publisher.is_idle
                and not self._listeners.behind()
                and not self._ill()
            )

        await _within(SETTLE_TIMEOUT_S, is_settled)

    async def _loops(self) -> list[str]:
        """Return the loops that do not recover: on a starved machine a call of one may time out."""

        async def are_well() -> bool:
            return not self._ill()

        with contextlib.suppress(TimeoutError):
            await _within(SETTLE_TIMEOUT_S, are_well)
        return [f"loop {each.name} is ill: {each.last_error}" for each in self._ill()]

    def _ill(self) -> list[Any]:
        return [each for each in self._shard.supervisor.statuses() if each.is_ill]

    async def _cache(self) -> list[str]:
        """Value all accounts, and compare the cache of every account and group with the truth."""
        shard = self._shard
        wrong: list[str] = []

        async def agrees() -> bool:
            await _reached(self._portfolio.run_once)
            wrong[:] = await self._valued_otherwise()
            return not wrong

        # Prices are on their way to Redis a moment longer than what was decided.
        try:
            await _within(SETTLE_TIMEOUT_S, agrees)
        except TimeoutError:
            return wrong
        for _ in range(-(-len(shard.desk.accounts) // ACCOUNTS_IN_RUN)):
            if found := await _reached(self._audit.run_once):
                wrong.append(f"the audit found {found} differences")
        return wrong

    async def _valued_otherwise(self) -> list[str]:
        accounts = [each for each in self._shard.desk.accounts.values() if each.exposures]
        valued = await self._shard.cache.valuations([each.account_id for each in accounts])
        found = []
        for account in accounts:
            equity = account.equity()
            held = None if equity is None else format_money(equity)
            valuation = valued.get(account.account_id)
            shown = None if valuation is None else valuation.equity
            if shown != held:
                found.append(f"account {account.account_id} is worth {held}, the job says {shown}")
        return found


async def _reached(ask: Callable[[], Awaitable[Result]]) -> Result:
    """Ask as a loop does: again while a server does not answer in time."""
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        while True:
            try:
                return await ask()
            except Unreachable:
                await asyncio.sleep(POLL_S)


async def _within(seconds: float, holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - several servers have no event
            await asyncio.sleep(POLL_S)
