"""A whole shard under its supervisor, as the service runs it, but on the market's clock.

Its loops run several times as often as by default, so that a run of minutes sees many of each.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.quote import Quote, QuoteGuard
from service.instruments import Instruments
from service.loops.cache_audit import CacheAudit
from service.loops.expiry import Expiry
from service.loops.leadership import Leadership
from service.loops.portfolio import Portfolios
from service.loops.portfolio_job import PortfolioJob
from service.loops.prices import SHOW_INTERVAL_S, PriceBoard
from service.loops.publisher import Publisher
from service.loops.reconciliation import Reconciliation
from service.loops.rollover import Rollover
from service.loops.rules import Rules
from service.loops.supervisor import Supervisor
from service.loops.sweep import Sweeps
from service.loops.trading import Trading
from service.loops.warm_up import WarmUp
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.events import EventFeed
from service.storage.loader import save_quotes
from service.storage.outbox import Outbox
from service.storage.reader import Reader
from telemetry.catalogue import Metric
from tests.soak.market import Clock

LEASE_S = 10.0
SWEEP_S = 1.0
RECONCILE_S = 1.0
EXPIRY_S = 0.2
ROLLOVER_S = 0.2
PORTFOLIO_S = 3.0
AUDIT_S = 2.0
SAVE_QUOTES_S = 2.0
GAIN_TIMEOUT_S = 60.0


class Shard:
    """Everything but the gateway; `clock` is the market's."""

    def __init__(self, dsn: str, redis_url: str, clock: Clock) -> None:
        self.clock = clock
        self.instruments = Instruments()
        self.database = Database(dsn, self.instruments)
        self.cache = Cache(redis_url, self.instruments)
        self.reader = Reader(self.database, lambda: self.trading.symbols())
        guard = QuoteGuard()
        self.trading = Trading(self.database, self.reader, self.instruments, Engine(Desk(), guard))
        rules = Rules("soak", guard, LEASE_S)
        self.leadership = Leadership(self.database, self.trading, rules)
        self.publisher = Publisher(self.cache, Outbox(self.database), self.instruments)
        self.sweeps = Sweeps(self.database, self.trading, self.instruments, clock)
        self.board = PriceBoard(lambda: self.trading.desk, self.cache, self.instruments)
        self.events = EventFeed(redis_url, self.reader, self.instruments, self.trading.sequence)
        self.portfolios = Portfolios(self.cache, self.reader, lambda: self.trading.desk)
        self.warm_up = WarmUp(lambda: self.trading.desk, self.cache, self.reader, self.instruments)
        self.supervisor = Supervisor(self.instruments, Random())
        self.trading.written_hooks.append(self.publisher.publish)
        self.trading.settings_hooks.append(self.board.settings_changed)
        self.trading.lead_hooks += [
            self.publisher.lead,
            self.cache.renew,
            self.warm_up.lead,
            lambda: self.trading.mark_rollover(clock()),
        ]
        self.events.settings_listeners.append(self.cache.groups)

    @property
    def desk(self) -> Desk:
        return self.trading.desk

    def quote(self, quote: Quote) -> None:
        """Take a quote at the market's time, as a feed's is taken at the wall clock's."""
        self.trading.mark_rollover(quote.time)
        self.trading.on_quote_at(quote, quote.time)

    def reconciliation(self) -> Reconciliation:
        return Reconciliation(self.database, self.trading, self.instruments)

    def portfolio_job(self) -> PortfolioJob:
        desk = lambda: self.trading.desk  # noqa: E731
        return PortfolioJob(desk, self.cache, self.reader, self.instruments, PORTFOLIO_S)

    def cache_audit(self, chance: Random) -> CacheAudit:
        return CacheAudit(
            self.trading,
            self.cache,
            self.reader,
            lambda: self.trading.backlog == 0 and self.publisher.is_idle and self.board.is_idle,
            self.instruments,
            chance,
        )

    def counts(self, metric: Metric) -> dict[str, int]:
        """Return what a counter counted, by its one label, "" if it has none; without zeros."""
        children = self.instruments.metrics.counter(metric).children
        return {"".join(key): int(each.now) for key, each in children.items() if each.now}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run all loops; it trades when the block begins."""
        rollover, expiry = Rollover(self.trading, self.clock), Expiry(self.trading, self.clock)
        try:
            async with self.supervisor.group() as loops:
                leadership = self.leadership
                loops.keep("leadership", leadership.run, leadership.pulse, deadline_s=60)
                loops.keep("publisher", self.publisher.run, self.publisher.pulse)
                loops.keep("events", self.events.run, self.events.pulse)
                loops.keep("price_writer", self.board.write, self.board.pulse)
                loops.keep("warm_up", self.warm_up.run, self.warm_up.pulse)
                async with asyncio.timeout(GAIN_TIMEOUT_S):
                    await leadership.gained()
                sweeps = self.sweeps
                loops.repeat("pending_sweep", sweeps.pending.run_once, interval_s=SWEEP_S)
                loops.repeat("positions_sweep", sweeps.positions.run_once, interval_s=SWEEP_S)
                reconciliation = self.reconciliation()
                loops.repeat("reconciliation", reconciliation.run_once, interval_s=RECONCILE_S)
                loops.repeat("expiry", expiry.run_once, interval_s=EXPIRY_S)
                loops.repeat("rollover", rollover.run_once, interval_s=ROLLOVER_S)
                loops.repeat("portfolio", self.portfolio_job().run_once, interval_s=PORTFOLIO_S)
                audit = self.cache_audit(Random())
                loops.repeat("cache_audit", audit.run_once, interval_s=AUDIT_S)
                loops.repeat("prices", self.board.run_once, interval_s=SHOW_INTERVAL_S)
                loops.repeat("save_quotes", self._save_quotes, interval_s=SAVE_QUOTES_S)
                yield
                await leadership.stop()
        finally:
            await self.cache.close()
            await self.database.close()

    async def _save_quotes(self) -> None:
        async with self.database.read("quotes") as connection:
            await save_quotes(connection, self.desk)
