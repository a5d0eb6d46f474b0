"""Processes that share the shards of one database, in the process of the test."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random

from service.domain.decision import Audit
from service.domain.quote import Quote
from service.engine_host import EngineHost
from service.instruments import Instruments
from service.loops.bus import MemoryBus
from service.loops.commands import Fund
from service.loops.prices import PriceBoard
from service.loops.supervisor import Supervisor
from service.settings import Settings
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.generations import OwnGenerations
from service.storage.reader import Reader
from tests.adversity.shard import GUARD, SYMBOL

SHARDS = 6
LEASE_S = 2.0


class Host:
    """One process's engines, with a bus of its own."""

    def __init__(
        self, dsn: str, redis_url: str, holder: str, shards: int, lease_s: float, *, shares: bool
    ) -> None:
        settings = Settings(shards=shards, lease_s=lease_s)
        self.instruments = Instruments()
        self.is_fit = True
        self.database = Database(dsn, self.instruments, settings.database_connections)
        self.cache = Cache(redis_url, self.instruments)
        self.cache.generations = OwnGenerations(shards)
        reader = Reader(self.database, lambda: self.host.front.symbols())
        board = PriceBoard(lambda: self.host.front.desk, self.cache, self.instruments)
        self.host = EngineHost(
            settings,
            holder,
            GUARD,
            self.database,
            self.cache,
            reader,
            board,
            self.instruments,
            shares=shares,
            is_fit=lambda: self.is_fit,
        )
        self.bus = MemoryBus(shards)
        self.host.serve(self.bus)
        self.supervisor = Supervisor(self.instruments, Random(1))
        self.take_quote = self.bus.quotes()

    @property
    def led(self) -> list[int]:
        return [shard.shard.number for shard in self.host.shards if shard.trading.is_leading]

    @property
    def connections(self) -> int:
        return sum(not shard.leadership.is_aside for shard in self.host.shards)

    def quote(self, bid: int) -> None:
        self.take_quote(Quote(SYMBOL, bid, bid + 10, time.time_ns()))

    async def fund(self, account_id: int, key: str | None = None) -> None:
        await self.bus.take(account_id, key, Fund(Decimal(1), Audit("desk", "fund", "", "")))


@asynccontextmanager
async def process(
    dsn: str,
    redis_url: str,
    holder: str,
    *,
    shards: int = SHARDS,
    lease_s: float = LEASE_S,
    shares: bool = True,
) -> AsyncIterator[Host]:
    """Run a process; it dies with the block, and releases nothing, unless it was stopped."""
    host = Host(dsn, redis_url, holder, shards, lease_s, shares=shares)
    try:
        async with host.supervisor.group() as loops:
            host.host.keep_trading(loops)
            host.host.keep_looking(loops)
            yield host
    finally:
        await host.cache.close()
        await host.database.close()


def led(*hosts: Host) -> list[list[int]]:
    return [host.led for host in hosts]


def shares(*hosts: Host) -> list[int]:
    return sorted(len(host.led) for host in hosts)


def are_shared(*hosts: Host) -> bool:
    """Tell whether all shards are traded, each by one, in fair shares."""
    numbers = sorted(number for host in hosts for number in host.led)
    sizes = shares(*hosts)
    return numbers == list(range(len(hosts[0].host.shards))) and sizes[-1] - sizes[0] <= 1


async def traded_by_two(hosts: Sequence[Host]) -> None:
    """Look until cancelled; fail where a shard is led, and believed in, by two."""
    while True:
        for number in range(len(hosts[0].host.shards) if hosts else 0):
            believing = [host for host in hosts if host.host.front.leads(number)]
            assert len(believing) <= 1, f"shard {number} is traded by {len(believing)}"
        await asyncio.sleep(0.005)
