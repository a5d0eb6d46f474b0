"""Trading that starts over, or changes hands, goes on from what is stored."""

import asyncio
from contextlib import AsyncExitStack
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from service.domain.dealing import price_opening
from service.domain.instrument import FillPolicy, Group, UserType
from service.domain.order import Order, OrderType
from service.loops.administration import Author
from service.loops.supervisor import Supervisor
from tests.adversity.book import check_book
from tests.adversity.shard import (
    SYMBOL,
    Resting,
    Shard,
    open_small_book,
    opened,
    terms_of,
    trading_shard,
)
from tests.support import eventually


async def test_a_fault_of_the_engine_starts_trading_over_and_loses_nothing(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two orders on one tick, of which the second fails inside the engine, once."""
    crowd = [Resting(1, OrderType.BUY_STOP, 110_050), Resting(3, OrderType.BUY_STOP, 110_050)]
    await open_small_book(postgres_dsn, 4, crowd)
    shard = Shard(postgres_dsn, "one", 3.0)

    def fail_for_the_second(order: Order) -> Any:
        if order.order_id == 2:
            raise RuntimeError("planted")
        return price_opening(order)

    async with Supervisor(shard.instruments, Random()).group() as loops:
        loops.keep("leadership", shard.leadership.run, shard.leadership.pulse)
        await shard.leadership.gained()
        shard.quote(110_000)
        monkeypatch.setattr("service.domain.judgement.price_opening", fail_for_the_second)
        shard.quote(110_100)
        assert not shard.trading.is_leading
        monkeypatch.undo()
        await eventually(lambda: shard.trading.is_leading)
        shard.quote(110_100)
        await shard.drained()
        assert opened(shard) == [1, 2]
        await check_book(postgres_dsn, shard)
    await shard.database.close()


async def test_an_order_that_came_with_the_book_has_used_its_key(postgres_dsn: str) -> None:
    await open_small_book(postgres_dsn, 1, [Resting(1, OrderType.BUY_LIMIT, 109_000)])
    async with trading_shard(postgres_dsn) as shard:
        async with shard.database.read("load") as connection:
            await connection.execute("UPDATE orders SET client_order_id = 'book-1'")
        shard.quote(110_000)
        answer = await shard.place(
            1, OrderType.BUY_LIMIT, 108_000, key="book-1", client_order_id="book-1"
        )
        assert answer.order is not None
        assert (answer.order.order_id, answer.order.price) == (1, "1.09000")
        assert shard.decisions("failed") == 0


async def test_a_standby_learns_what_the_leader_changes_and_keeps_its_prices(
    postgres_dsn: str,
) -> None:
    await open_small_book(postgres_dsn, 1)
    async with AsyncExitStack() as leading:
        leader = await leading.enter_async_context(trading_shard(postgres_dsn, holder="one"))
        async with trading_shard(
            postgres_dsn, holder="two", lead=False, lease_life_s=1.0
        ) as standby:
            leader.quote(110_000)
            await leader.administration.set_group(
                Group("new", Decimal(100), Decimal(50), False, FillPolicy.MARKET), Author("7")
            )
            await leader.administration.set_terms(terms_of("new", 3), Author("7"))
            await leader.administration.create_account(
                99, UserType.LIVE, "new", Decimal(100), Decimal(1000), Author("7")
            )
            await eventually(lambda: ("new", SYMBOL) in standby.desk.terms)
            standby.quote(111_000)
            await leader.leadership.stop()
            await leading.aclose()
            async with asyncio.timeout(30):
                await standby.leadership.gained()
            assert standby.desk.markets[SYMBOL].bid == 111_000
            assert standby.desk.accounts[99].balance == 1000
