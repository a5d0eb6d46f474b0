"""All the shards that a process may trade, and what decides which of them it does.

Each has a desk, an engine, a writer, a lease and loops of its own: what goes wrong with one is not
the others'.
"""

from service.domain.quote import QuoteGuard
from service.domain.shard import AccountShard
from service.instruments import Instruments
from service.loops.bus import Bus
from service.loops.front import Front
from service.loops.prices import PriceBoard
from service.loops.rules import Rules
from service.loops.settings_follower import FOLLOW_INTERVAL_S, SettingsFollower
from service.loops.supervisor import LoopGroup
from service.settings import Settings
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.reader import Reader
from service.storage.settings_version import SettingsVersions
from service.traded_shard import TradedShard

SHARDS = 1


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
    ) -> None:
        """Take the name of this process in the leases; no two may have the same."""
        self.shards = [
            TradedShard(
                Rules(holder, guard, settings.lease_s, shard=AccountShard(number, SHARDS)),
                settings,
                database,
                cache,
                reader,
                board,
                instruments,
            )
            for number in range(SHARDS)
        ]
        tradings = [shard.trading for shard in self.shards]
        self.front = Front(tradings, [shard.leadership for shard in self.shards])
        self._follower = SettingsFollower(SettingsVersions(database), tradings)
        instruments.watch_settings(self._follower.behind)

    def serve(self, bus: Bus) -> None:
        """Have a bus bring quotes and commands."""
        for shard in self.shards:
            bus.serve(shard.shard, shard.intake, shard.trading.on_quote)

    def keep_trading(self, loops: LoopGroup) -> None:
        """Have leases kept, and what is committed told, from now on."""
        for shard in self.shards:
            shard.keep_trading(loops)
        if len(self.shards) > 1:
            follow = self._follower.run_once
            loops.repeat("settings", follow, interval_s=FOLLOW_INTERVAL_S)

    def keep_looking(self, loops: LoopGroup) -> None:
        """Have what no tick sees to looked after, from now on."""
        for shard in self.shards:
            shard.keep_looking(loops)

    async def stop(self) -> None:
        """Commit what is decided and let the next owners in; bounded."""
        for shard in self.shards:
            await shard.leadership.stop()
