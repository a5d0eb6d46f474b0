"""The warm-up: accounts with live orders are in the cache soon after trading began."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from service.domain.order import OrderType
from service.instruments import Instruments
from service.loops import warm_up
from service.loops.warm_up import WarmUp
from service.storage.cache import Cache, StaticOrders, Ticket
from service.storage.errors import Unreachable
from telemetry import catalogue
from tests.adversity.shard import Resting, Shard, open_small_book, trading_shard
from tests.support import eventually, free_port

ACCOUNTS = 300
# Accounts 1 to 250 have orders; those of account 240 and above are bought at once.
BOOK = [
    Resting(1 + n, OrderType.BUY_LIMIT, 111_000 if n >= 239 else 100_000, 99_000)
    for n in range(250)
]


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    await open_small_book(postgres_dsn, ACCOUNTS, BOOK)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        await shard.drained()
        yield shard


@contextlib.asynccontextmanager
async def warming(shard: Shard, redis_url: str) -> AsyncIterator[tuple[WarmUp, Cache]]:
    cache = Cache(redis_url, shard.instruments)
    warm = WarmUp(lambda: shard.desk, cache, shard.reader, shard.instruments)
    task = asyncio.create_task(warm.run())
    try:
        yield warm, cache
    finally:
        task.cancel()
        await asyncio.wait((task,))
        await cache.close()


def warmed(instruments: Instruments) -> float:
    return instruments.metrics.counter(catalogue.CACHE_WARMED).child().value


async def test_all_accounts_with_live_orders_are_filled_and_no_others(
    shard: Shard, redis_url: str
) -> None:
    async with warming(shard, redis_url) as (warm, cache):
        warm.lead()
        await eventually(lambda: warmed(shard.instruments) == 250)
        found = await cache.static_orders(range(1, ACCOUNTS + 1))
        assert sorted(found) == list(range(1, 251))
        assert found == await shard.reader.live_orders(list(found))


async def test_positions_come_first_where_not_all_fit(
    shard: Shard, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up, "MAX_ACCOUNTS", 11)
    async with warming(shard, redis_url) as (warm, cache):
        warm.lead()
        await eventually(lambda: warmed(shard.instruments) == 11)
        found = await cache.static_orders(range(1, ACCOUNTS + 1))
        assert sorted(found) == list(range(240, 251))


async def test_it_works_in_pages_and_lets_others_run(
    shard: Shard, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    live_orders = shard.reader.live_orders

    async def noted(account_ids: Sequence[int]) -> dict[int, StaticOrders]:
        asked.append(len(account_ids))
        shard.quote(110_000)  # trading goes on between the pages
        return await live_orders(account_ids)

    monkeypatch.setattr(shard.reader, "live_orders", noted)
    async with warming(shard, redis_url) as (warm, _):
        warm.lead()
        await eventually(lambda: warmed(shard.instruments) == 250)
    assert asked == [100, 100, 50]


async def test_it_ends_where_trading_does_and_begins_where_it_does(
    shard: Shard, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desks = [shard.desk]
    cache = Cache(redis_url, shard.instruments)
    warm = WarmUp(lambda: desks[-1], cache, shard.reader, shard.instruments)
    live_orders = shard.reader.live_orders

    async def losing(account_ids: Sequence[int]) -> dict[int, StaticOrders]:
        desks.append(type(shard.desk)())
        return await live_orders(account_ids)

    monkeypatch.setattr(shard.reader, "live_orders", losing)
    task = asyncio.create_task(warm.run())
    warm.lead()
    await eventually(lambda: warmed(shard.instruments) == 100)
    monkeypatch.setattr(shard.reader, "live_orders", live_orders)
    desks.append(shard.desk)
    warm.lead()
    # What is there already is not filled again.
    await eventually(lambda: warmed(shard.instruments) == 250)
    task.cancel()
    await asyncio.wait((task,))
    await cache.close()


async def test_a_redis_that_is_away_costs_the_database_nothing(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with warming(shard, f"redis://127.0.0.1:{free_port()}/0") as (warm, cache):
        tries = 0
        open_fill = cache.open_fill

        async def counting(account_ids: Sequence[int]) -> Ticket | None:
            nonlocal tries
            tries += 1
            return await open_fill(account_ids)

        async def unasked(account_ids: Sequence[int]) -> dict[int, StaticOrders]:
            raise AssertionError("the database was asked for what cannot be stored")

        monkeypatch.setattr(cache, "open_fill", counting)
        monkeypatch.setattr(shard.reader, "live_orders", unasked)
        for number in (1, 2):
            warm.lead()
            await eventually(lambda: tries == number)  # noqa: B023
    assert warmed(shard.instruments) == 0


async def test_a_database_that_was_away_is_asked_when_trading_begins_again(
    shard: Shard, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    live_orders = shard.reader.live_orders

    async def failing_once(account_ids: Sequence[int]) -> dict[int, StaticOrders]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise Unreachable("connection refused")
        return await live_orders(account_ids)

    monkeypatch.setattr(shard.reader, "live_orders", failing_once)
    async with warming(shard, redis_url) as (warm, _):
        warm.lead()
        await eventually(lambda: asked == 1)
        warm.lead()
        await eventually(lambda: warmed(shard.instruments) == 250)
