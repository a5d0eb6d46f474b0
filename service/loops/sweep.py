"""The safety sweeps behind the tick path (R2, R5.3): they look for what a tick should have fired.

A sweep asks PostgreSQL for live orders that the last quotes have crossed and hands each to the
engine, which knows what is in flight. What the engine then fires had been missed: it is counted,
logged and executed. In a replay the caller sweeps on tick time and at the end.
"""

import asyncio

from loguru import logger

from service.domain.decision import DealEvent
from service.domain.instrument import UserType
from service.instruments import Instruments
from service.loops.trading import Trading
from service.storage.database import Database
from service.storage.sweeps import CROSSED_PENDING, CROSSED_POSITIONS, LastQuotes, find_crossed


class Sweep:
    """Finds, counts and repairs missed triggers of one kind."""

    def __init__(
        self, database: Database, trading: Trading, instruments: Instruments, statement: str
    ) -> None:
        self._database = database
        self._trading = trading
        self._instruments = instruments
        self._statement = statement
        self.missed = 0

    async def run_once(self) -> int:
        """Sweep once and return how many missed triggers were executed.

        Raises:
            Unreachable: the database is away.
        """
        if not self._trading.is_writing:
            return 0  # what waits to be judged or written has not been missed
        quotes = self._last_quotes()
        missed = 0
        for user_type in UserType:
            async with self._database.read("sweep") as connection:
                found = await find_crossed(connection, self._statement, quotes, user_type)
            missed += sum(self._repair(order_id) for order_id in found)
        self.missed += missed
        return missed

    def _last_quotes(self) -> LastQuotes:
        # Prices of before a restart have judged nothing: a tick will.
        quoted = [market for market in self._trading.desk.markets.values() if market.tick]
        return LastQuotes(
            [market.symbol.name for market in quoted],
            [market.bid for market in quoted],
            [market.ask for market in quoted],
        )

    def _repair(self, order_id: int) -> bool:
        decision = self._trading.repair(order_id)
        if decision is None or decision.deal is None or decision.order is None:
            return False
        logger.error(
            "order {} had crossed its trigger unnoticed: {} {}",
            order_id,
            decision.deal.event,
            decision.deal.reason,
        )
        is_close = decision.deal.event is DealEvent.CLOSE
        self._instruments.missed_trigger(
            decision.deal.reason if is_close else decision.order.order_type
        )
        return True


class Sweeps:
    """Both sweeps of a shard."""

    def __init__(self, database: Database, trading: Trading, instruments: Instruments) -> None:
        self.pending = Sweep(database, trading, instruments, CROSSED_PENDING)
        self.positions = Sweep(database, trading, instruments, CROSSED_POSITIONS)

    @property
    def missed(self) -> int:
        """Missed triggers found so far."""
        return self.pending.missed + self.positions.missed

    async def run_once(self) -> None:
        """Sweep pending orders and positions once."""
        await asyncio.gather(self.pending.run_once(), self.positions.run_once())
