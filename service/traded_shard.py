"""All that trades one shard of accounts, wired for `service.app`, which starts and stops it.

Nothing here is shared with another shard but what is passed in: stores, instruments, the board.
"""

from collections.abc import Callable
from functools import partial
from random import Random

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.instruments import Instruments
from service.keeping import make_retention
from service.loops.cache_audit import CacheAudit
from service.loops.expiry import EXPIRY_INTERVAL_S, Expiry
from service.loops.faults import FAULTS_INTERVAL_S, Faults
from service.loops.intake import Intake
from service.loops.leadership import Leadership
from service.loops.order_log import OrderLog
from service.loops.portfolio_job import PortfolioJob
from service.loops.prices import PriceBoard
from service.loops.publisher import Publisher
from service.loops.reconciliation import Reconciliation
from service.loops.retention import RETENTION_INTERVAL_S
from service.loops.rollover import ROLLOVER_INTERVAL_S, Rollover
from service.loops.rules import Rules
from service.loops.supervisor import Hurry, LoopGroup
from service.loops.sweep import Sweeps
from service.loops.trading import Trading
from service.loops.warm_up import WarmUp
from service.settings import Settings
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.outbox import Outbox
from service.storage.reader import Reader

# Longer than a lease's renewal may wait in a database that is away, beyond the lease's own life.
LEADERSHIP_DEADLINE_S = 60.0


class TradedShard:
    """One shard in this process: it trades while it has the lease, and stands by until then."""

    def __init__(
        self,
        rules: Rules,
        settings: Settings,
        database: Database,
        cache: Cache,
        reader: Reader,
        board: PriceBoard,
        instruments: Instruments,
        *,
        prices: Callable[[], Desk],
        changed: Callable[[], None],
        is_wanted: bool,
    ) -> None:
        """Take what `Leadership` does: of prices the newest of this process."""
        self._settings = settings
        engine = Engine(Desk(rules.shard), rules.guard)
        trading = self.trading = Trading(database, reader, instruments, engine)
        self.shard = rules.shard
        self.intake = Intake(trading, reader)
        self.leadership = Leadership(
            database, trading, rules, prices=prices, changed=changed, is_wanted=is_wanted
        )
        publisher = self._publisher = Publisher(cache, Outbox(database, rules.shard), instruments)
        self._sweeps = Sweeps(database, trading, instruments)
        self._faults = Faults(trading, instruments)
        self._reconciliation = Reconciliation(database, trading, instruments)
        self._retention = make_retention(settings, database, trading, rules.shard)
        self._warm_up = WarmUp(lambda: trading.desk, cache, reader, instruments)
        self._portfolio_job = PortfolioJob(
            lambda: trading.desk, cache, reader, instruments, settings.portfolio_interval_s
        )
        self._cache_audit = CacheAudit(
            trading,
            cache,
            reader,
            lambda: trading.backlog == 0 and publisher.is_idle and board.is_idle,
            instruments,
            Random(),
        )
        self._part = "" if rules.shard.of == 1 else str(rules.shard.number)
        self._sweep: list[Hurry] = []
        trading.written_hooks += [publisher.publish, OrderLog().written]
        trading.lead_hooks += [
            publisher.lead,
            partial(cache.renew, rules.shard.number),
            self._warm_up.lead,
        ]
        trading.settings_hooks.append(board.settings_changed)

    def keep_trading(self, loops: LoopGroup) -> None:
        """Have the lease kept, and what is committed told, from now on."""
        loops = loops.of_part(self._part)
        leadership, publisher, warm_up = self.leadership, self._publisher, self._warm_up
        settings = self._settings
        deadline_s = settings.lease_s + LEADERSHIP_DEADLINE_S
        loops.keep("leadership", leadership.run, leadership.pulse, deadline_s=deadline_s)
        loops.keep("publisher", publisher.run, publisher.pulse)
        loops.keep("warm_up", warm_up.run, warm_up.pulse)
        interval_s = settings.portfolio_interval_s
        loops.repeat(
            "portfolio", self._portfolio_job.run_once, interval_s=interval_s, deadline_s=interval_s
        )
        loops.repeat(
            "cache_audit", self._cache_audit.run_once, interval_s=settings.cache_audit_interval_s
        )

    def sweep(self) -> None:
        """Look at once for what was crossed by quotes that were lost."""
        for hurry in self._sweep:
            hurry()

    def keep_looking(self, loops: LoopGroup) -> None:
        """Have what no tick sees to looked after, from now on, whenever the shard is led."""
        settings, trading = self._settings, self.trading
        loops = loops.of_part(self._part, during=trading.leading)
        positions_s = settings.positions_sweep_interval_s
        self._sweep = [
            loops.repeat(
                "pending_sweep",
                self._sweeps.pending.run_once,
                interval_s=settings.pending_sweep_interval_s,
            ),
            loops.repeat(
                "positions_sweep",
                self._sweeps.positions.run_once,
                interval_s=positions_s,
                max_interval_s=settings.positions_sweep_max_interval_s,
            ),
        ]
        loops.repeat("reconciliation", self._reconciliation.run_once, interval_s=positions_s)
        loops.repeat("faults", self._faults.run_once, interval_s=FAULTS_INTERVAL_S)
        loops.repeat("expiry", Expiry(trading).run_once, interval_s=EXPIRY_INTERVAL_S)
        loops.repeat("rollover", Rollover(trading).run_once, interval_s=ROLLOVER_INTERVAL_S)
        loops.repeat("retention", self._retention.run_once, interval_s=RETENTION_INTERVAL_S)
