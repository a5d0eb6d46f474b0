"""The safety sweeps behind the tick path (R2, R5.3): they look for what a tick should have fired.

A sweep asks PostgreSQL for live orders that the last quotes have crossed, or that have expired, and
hands each to the engine, which knows what is in flight. What the engine then does had been missed:
it is counted, logged and executed. What may not be dealt now waits and is not asked for: symbols
that were not quoted yet, out of session, halted or closing only, and groups likewise. In a replay
the caller sweeps on tick time and at the end.

Each order is judged by itself: one that fails is counted as an error of the run, its account is
taken back to what is stored, and the rest goes on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from loguru import logger

from service.domain.decision import DealEvent, Decision, EventKind
from service.domain.engine import Engine
from service.domain.instrument import TradingState, UserType
from service.domain.market import Market
from service.domain.order import CancelReason, OrderStatus
from service.domain.shard import AccountShard
from service.instruments import Instruments
from service.loops.trading import Trading
from service.storage.database import Database
from service.storage.sweeps import (
    CROSSED_PENDING,
    CROSSED_POSITIONS,
    LastQuotes,
    find_crossed,
    find_expired,
)

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection = PoolConnectionProxy[asyncpg.Record]

# What expires now is cancelled by the next quote or the expiry loop, and was not missed.
EXPIRY_GRACE_NS = 10_000_000_000
EXPIRY, TRAILING_STOP = "EXPIRY", "TRAILING_STOP"


class SweepFailed(Exception):
    """Some orders could not be judged or repaired; the rest was."""


class Search(NamedTuple):
    """Finds order ids in pages, and decides what was missed of one, if anything."""

    find: Callable[["Connection", UserType], AsyncIterator[list[int]]]
    judge: Callable[[Engine, int], list[Decision]]


class Sweep:
    """Finds, counts and repairs what was missed."""

    def __init__(
        self,
        database: Database,
        trading: Trading,
        instruments: Instruments,
        searches: Sequence[Search],
    ) -> None:
        self._database = database
        self._trading = trading
        self._instruments = instruments
        self._searches = searches
        self.missed = 0

    async def run_once(self) -> int:
        """Sweep once and return how many missed triggers were executed.

        Raises:
            Unreachable: the database is away.
            SweepFailed: orders could not be judged; the others were.
        """
        if not self._trading.is_writing:
            return 0  # what waits to be judged or written has not been missed
        missed_before = self.missed
        failed: list[int] = []
        for user_type in UserType:
            for find, judge in self._searches:
                async with self._database.read("sweep") as connection:
                    async for order_ids in find(connection, user_type):
                        for order_id in order_ids:
                            self._repair(order_id, judge, failed)
        for account_id in set(failed):
            await self._trading.reload_account(account_id)
        if failed:
            raise SweepFailed(f"{len(failed)} orders could not be judged: the log says why")
        return self.missed - missed_before

    def _repair(
        self, order_id: int, judge: Callable[[Engine, int], list[Decision]], failed: list[int]
    ) -> None:
        order = self._trading.desk.orders.get(order_id)
        if order is None:
            return
        try:
            decisions = self._trading.decide(lambda engine: judge(engine, order_id))
        except Exception:
            logger.exception("order {}, found by a sweep, cannot be judged", order_id)
            failed.append(order.account.account_id)
            return
        for decision in decisions:
            trigger = _trigger_of(decision)
            logger.error("order {} had passed its trigger unnoticed: {}", order_id, trigger)
            self._instruments.missed_trigger(trigger)
            self.missed += 1


def _judge_crossed(engine: Engine, order_id: int) -> list[Decision]:
    decision = engine.judge_order(order_id)
    return [] if decision is None else [decision]


def _trigger_of(decision: Decision) -> str:
    order, deal = decision.order, decision.deal
    if decision.kind is EventKind.TRAILED:
        return TRAILING_STOP
    if deal is not None and deal.event is DealEvent.CLOSE:
        return deal.reason
    if deal is not None and deal.reason is CancelReason.EXPIRED:
        return EXPIRY
    assert order is not None
    return order.order_type


class Sweeps:
    """Both sweeps of a shard; `clock` is in ns UTC."""

    def __init__(
        self,
        database: Database,
        trading: Trading,
        instruments: Instruments,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._trading = trading
        self._clock = clock
        pending = (
            Search(self._find_pending, _judge_crossed),
            Search(self._find_expired, self._judge_expired),
        )
        positions = (Search(self._find_positions, _judge_crossed),)
        self.pending = Sweep(database, trading, instruments, pending)
        self.positions = Sweep(database, trading, instruments, positions)

    @property
    def missed(self) -> int:
        """Missed triggers found so far."""
        return self.pending.missed + self.positions.missed

    async def run_once(self) -> None:
        """Sweep pending orders and positions once."""
        await asyncio.gather(self.pending.run_once(), self.positions.run_once())

    @property
    def _shard(self) -> AccountShard:
        return self._trading.desk.shard

    def _find_pending(
        self, connection: "Connection", user_type: UserType
    ) -> AsyncIterator[list[int]]:
        quotes = self._dealt_quotes(_may_open, lambda _: True)
        return find_crossed(connection, CROSSED_PENDING, quotes, user_type, self._shard)

    def _find_positions(
        self, connection: "Connection", user_type: UserType
    ) -> AsyncIterator[list[int]]:
        # Without a conversion rate a position stays open.
        quotes = self._dealt_quotes(_may_close, lambda market: market.rate.factors() is not None)
        return find_crossed(connection, CROSSED_POSITIONS, quotes, user_type, self._shard)

    def _find_expired(
        self, connection: "Connection", user_type: UserType
    ) -> AsyncIterator[list[int]]:
        until = self._clock() - EXPIRY_GRACE_NS
        return find_expired(connection, until, user_type, self._shard)

    def _judge_expired(self, engine: Engine, order_id: int) -> list[Decision]:
        order, until = engine.desk.orders[order_id], self._clock() - EXPIRY_GRACE_NS
        if order.status is not OrderStatus.PENDING or (order.expires_at or until + 1) > until:
            return []
        engine.desk.expiries.add(order)
        return engine.expire(until)

    def _dealt_quotes(
        self, may: Callable[[TradingState], bool], fits: Callable[[Market], bool]
    ) -> LastQuotes:
        """Return the last quotes of what may be dealt now, and the groups that may not deal."""
        now, desk = self._clock(), self._trading.desk
        dealt = [
            market
            for market in desk.markets.values()
            # Prices of before a restart have judged nothing: a tick will.
            if market.tick
            and may(market.symbol.trading_state)
            and market.is_in_session(now)
            and fits(market)
        ]
        return LastQuotes(
            [market.symbol.name for market in dealt],
            [market.bid for market in dealt],
            [market.ask for market in dealt],
            [name for name, group in desk.groups.items() if not may(group.trading_state)],
        )


def _may_open(state: TradingState) -> bool:
    return state.may_open


def _may_close(state: TradingState) -> bool:
    return state.may_close
