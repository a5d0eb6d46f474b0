"""All the shards that a process may trade, and what decides which of them it does.

Each has a desk, an engine, a writer, a lease and loops of its own: what goes wrong with one is not
the others'. A shard that is not wanted here costs a few loops that rest. One that is traded has two
connections to the database, for its lease and for its writer, and a third while it is loaded.

An engine that trades nothing yet, among others, is a warm standby: it follows settings and prices,
and what it is given to trade begins with these.
"""

import asyncio
from collections.abc import Callable, Sequence

from loguru import logger

from service.domain.quote import Quote, QuoteGuard
from service.domain.shard import AccountShard
from service.instruments import Instruments
from service.loops.bus import Bus
from service.loops.claims import AllOrNone, FairShare
from service.loops.front import Front
from service.loops.market_desk import MarketDesk
from service.loops.prices import PriceBoard
from service.loops.rules import Rules
from service.loops.settings_follower import FOLLOW_INTERVAL_S, SettingsFollower
from service.loops.supervisor import LoopGroup
from service.loops.trading import Trading
from service.settings import Settings
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.engines import Engines
from service.storage.errors import Unreachable
from service.storage.reader import Reader
from service.storage.settings_version import SettingsVersions
from service.traded_shard import TradedShard


class EngineHost:
    """The shards of this process, and `front`, which is what it shows of them."""

    def __init__(
        self,
        settings: Settings,
        holder: str,
        guard: QuoteGuard,
        database: Database,
        cache: Cache,
        reader: Reader,
        board: PriceBoard,
        instruments: Instruments,
        *,
        shares: bool = False,
        is_fit: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take the name of this process in the leases; no two may have the same.

        With `shares` it trades its fair share of the shards while it `is_fit` to trade, else all of
        them or none.
        """
        self.shards = [
            TradedShard(
                Rules(holder, guard, settings.lease_s, shard=AccountShard(number, settings.shards)),
                settings,
                database,
                cache,
                reader,
                board,
                instruments,
                prices=lambda: self.front.desk,
                changed=self._note_who_follows,
                is_wanted=number == 0 and not shares,
            )
            for number in range(settings.shards)
        ]
        leaderships = [shard.leadership for shard in self.shards]
        tradings = [shard.trading for shard in self.shards]
        self._idle = MarketDesk(database, guard) if shares else None
        self.front = Front(tradings, leaderships, self._idle)
        self._follower = SettingsFollower(SettingsVersions(database), tradings)
        instruments.watch_settings(self._follower.behind)
        self._fair_share: FairShare | None = None
        if shares:
            engines = Engines(database, holder, settings.shards, settings.lease_s)
            self._fair_share = FairShare(
                engines, leaderships, settings.lease_s, instruments, is_fit
            )
        self._following: Sequence[Trading] = ()
        self._is_idle = True

    def serve(self, bus: Bus) -> None:
        """Have a bus bring quotes and commands."""
        # One that is all there is, and is always followed, takes quotes itself: nothing is faster.
        is_only = len(self.shards) == 1 and self._idle is None
        take_quote = self.shards[0].trading.on_quote if is_only else self._take_quote
        for shard in self.shards:
            bus.serve(shard.shard, shard.intake, None if shard.shard.number else take_quote)

    def _take_quote(self, quote: Quote, arrived_ns: int | None = None) -> None:
        for trading in self._following:
            try:
                trading.on_quote(quote, arrived_ns)
            except Exception as error:
                # It is loaded anew, or left alone where it is not traded: the others go on.
                self._following = [each for each in self._following if each is not trading]
                trading.start_over(error)
        if self._idle is not None and self._is_idle:
            self._idle.on_quote(quote, arrived_ns)

    def _note_who_follows(self) -> None:
        self._following = [each.trading for each in self.shards if each.leadership.is_informed]
        self._is_idle = not self.front.is_leading

    def keep_trading(self, loops: LoopGroup) -> None:
        """Have leases claimed and kept, and what is committed told, from now on."""
        for shard in self.shards:
            shard.keep_trading(loops)
        if self._fair_share is not None:
            interval_s = self._fair_share.interval_s
            loops.repeat("claims", self._fair_share.run_once, interval_s=interval_s)
        elif len(self.shards) > 1:
            first, *others = [shard.leadership for shard in self.shards]
            all_or_none = AllOrNone(first, others)
            loops.keep("claims", all_or_none.run, all_or_none.pulse)
        if len(self.shards) > 1 or self._idle is not None:
            loops.repeat("settings", self._follow_settings, interval_s=FOLLOW_INTERVAL_S)

    async def _follow_settings(self) -> None:
        idle = self._idle
        if idle is not None and not (self.front.is_leading and idle.is_informed):
            await idle.run_once()
        await self._follower.run_once()

    def keep_looking(self, loops: LoopGroup) -> None:
        """Have what no tick sees to looked after, from now on."""
        for shard in self.shards:
            shard.keep_looking(loops)

    def sweep(self) -> None:
        """Look at once for what was crossed by quotes that were lost."""
        for shard in self.shards:
            shard.sweep()

    async def stop(self) -> None:
        """Commit what is decided and let the next owners in, of all shards at once; bounded."""
        if self._fair_share is not None:
            try:
                await self._fair_share.leave()
            except Unreachable as error:
                logger.warning("the other engines are not told of the end: {}", error)
        await asyncio.gather(*(shard.leadership.stop() for shard in self.shards))
