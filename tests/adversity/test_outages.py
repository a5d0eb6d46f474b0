"""Servers that go away in the middle of trading, and come back: nothing lost, nothing twice."""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.domain.order import OrderType
from service.loops.answers import Unavailable
from service.loops.publisher import Publisher
from service.storage.cache import Cache
from service.storage.embedded import EmbeddedPostgres, EmbeddedValkey
from service.storage.errors import Unreachable
from service.storage.outbox import Outbox
from tests.adversity.book import check_book, fetch
from tests.adversity.shard import Resting, Shard, open_small_book, opened, trading_shard
from tests.support import end_postgres, eventually, free_port

ACCOUNTS = 40
OUTAGE_S = 10.0
# Bands of orders that a falling market reaches one after the other.
BANDS = [
    Resting(1 + number % ACCOUNTS, OrderType.BUY_LIMIT, 110_000 - 10 * (number // 20), 100_000)
    for number in range(2_000)
]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A durable PostgreSQL of the test's own, to be hurt."""
    async with EmbeddedPostgres(tmp_path / "postgres") as server:
        await open_small_book(server.dsn, ACCOUNTS, BANDS)
        yield server


class Market:
    """Quotes that fall through the bands, on and on, whatever happens to the servers."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self.bid = 110_100
        self.ticks = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            if self.bid > 108_900:
                self.bid -= 1
            self._shard.quote(self.bid)
            self.ticks += 1
            await asyncio.sleep(0.02)

    async def end(self) -> None:
        """Fall through what is left of the bands, and stop."""
        self._task.cancel()
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.result()
        while self.bid > 108_900:
            self.bid -= 1
            self._shard.quote(self.bid)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
async def test_postgres_restarts_in_the_middle_of_trading(
    how: signal.Signals, server: EmbeddedPostgres
) -> None:
    async with trading_shard(server.dsn) as shard:
        market = Market(shard)
        for _ in range(2):
            committed = shard.decisions("committed")
            await eventually(lambda: shard.decisions("committed") > committed + 20)  # noqa: B023
            await end_postgres(server, how)
            await server.start()
        await market.end()
        await shard.drained()
        assert opened(shard) == list(range(1, len(BANDS) + 1))
        assert shard.decisions("failed") == 0
        assert shard.decisions("committed") == len(BANDS)
        assert shard.trading.is_leading
        await check_book(server.dsn, shard)


async def test_postgres_is_gone_for_ten_seconds(server: EmbeddedPostgres) -> None:
    async with trading_shard(server.dsn) as shard:
        market = Market(shard)
        first = await shard.fund(1, "1.00", key="before")
        await eventually(lambda: shard.decisions("committed") > 100)
        await end_postgres(server, signal.SIGINT)
        in_flight = asyncio.create_task(shard.fund(2, "2.00", key="in flight"))
        await eventually(lambda: not shard.trading.is_writing)
        ticks = market.ticks
        loop = asyncio.get_running_loop()
        gone_until = loop.time() + OUTAGE_S
        refused = 0

        def has_seen_enough() -> bool:
            return refused > 5 and market.ticks > ticks + 50 and shard.trading.backlog > 100

        # On a busy machine it is gone for longer.
        while loop.time() < gone_until or not has_seen_enough():
            with pytest.raises(Unavailable):
                await shard.fund(3, "3.00", key="refused")
            refused += 1
            with pytest.raises(Unreachable):
                await shard.database.ping()
            with contextlib.suppress(Unreachable):
                await shard.sweeps.run_once()
            await asyncio.sleep(0.2)
        assert refused > 5
        assert market.ticks > ticks + 50  # ticks went on, and triggered
        waiting = shard.trading.backlog
        assert waiting > 100
        await server.start()
        await eventually(lambda: shard.trading.backlog < waiting // 2)
        with contextlib.suppress(Unavailable):
            await in_flight
        await market.end()
        await shard.drained()
        assert opened(shard) == list(range(1, len(BANDS) + 1))
        assert shard.sweeps.missed == 0
        # Each command once: the one before, the one that waited, none of the refused.
        again = await shard.fund(1, "1.00", key="before")
        assert again == first
        await shard.fund(2, "2.00", key="in flight")
        assert await fetch(
            server.dsn,
            "SELECT account_id, amount::text FROM ledger WHERE kind = 'DEPOSIT' AND amount < 10 "
            "ORDER BY entry_id",
        ) in ([(1, "1.00")], [(1, "1.00"), (2, "2.00")])
        await check_book(server.dsn, shard)


async def test_a_process_that_dies_in_an_outage_judges_anew(server: EmbeddedPostgres) -> None:
    async with trading_shard(server.dsn) as shard:
        shard.quote(110_100)
        shard.quote(109_900)
        await shard.drained()
        stored = opened(shard)
        await end_postgres(server, signal.SIGKILL)
        shard.quote(109_000)
        assert len(opened(shard)) > len(stored)
        assert shard.trading.backlog > 0
    await server.start()
    async with trading_shard(server.dsn) as shard:  # the same holder: no waiting
        assert opened(shard) == stored
        shard.quote(108_900)
        await shard.drained()
        assert opened(shard) == list(range(1, len(BANDS) + 1))
        await check_book(server.dsn, shard)


async def test_redis_is_stopped_in_the_middle_of_trading(postgres_dsn: str, tmp_path: Path) -> None:
    await open_small_book(postgres_dsn, ACCOUNTS, BANDS)
    chance = random.Random(1)
    port = free_port()
    async with (
        EmbeddedValkey(tmp_path / "valkey", port) as valkey,
        trading_shard(postgres_dsn) as shard,
    ):
        cache = Cache(valkey.url, shard.instruments)
        publisher = Publisher(cache, Outbox(shard.database), shard.instruments)
        shard.trading.written_hooks.append(publisher.publish)
        publishing = asyncio.create_task(publisher.run())
        market = Market(shard)

        async def fill() -> None:
            accounts = range(1, ACCOUNTS + 1)
            ticket = await cache.open_fill(accounts)
            await cache.fill_static_orders(
                ticket, list((await shard.reader.live_orders(accounts)).values())
            )

        async def agrees() -> bool:
            """What is found is what is stored, or on its way there."""
            account = chance.randint(1, ACCOUNTS)
            found = await cache.get_user_static_orders_cache(account)
            if found is None:
                return False
            stored = (await shard.reader.live_orders([account]))[account]
            assert found[0].sequence <= stored[0].sequence
            if found[0].sequence == stored[0].sequence:
                assert found == stored
            return True

        try:
            await fill()
            assert await agrees()
            await valkey.stop()
            committed = shard.decisions("committed")
            await eventually(lambda: shard.decisions("committed") > committed + 200)
            assert await cache.get_user_static_orders_cache(1) is None
            assert publishing.done() is False
            await valkey.start()
            async with asyncio.timeout(30):
                while not await agrees():
                    await fill()
                    await asyncio.sleep(0.1)
            await market.end()
            await shard.drained()
            assert len(opened(shard)) == len(BANDS)
            for _ in range(20):
                await fill()
                await agrees()
            await check_book(postgres_dsn, shard)
        finally:
            publishing.cancel()
            await asyncio.wait((publishing,))
            await cache.close()
