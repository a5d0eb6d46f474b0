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
from service.domain.rejection import Rejected
from service.loops.faults import WAIT_FIRST_S, Faults
from service.loops.requests import Author
from service.loops.supervisor import Supervisor
from telemetry import catalogue
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


async def test_an_order_that_always_raises_harms_its_account_alone(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three orders of three accounts on one tick, of which the second raises, on and on."""
    crowd = [Resting(each, OrderType.BUY_STOP, 110_050) for each in (1, 3, 4)]
    await open_small_book(postgres_dsn, 4, crowd)
    shard = Shard(postgres_dsn, "one", 3.0)
    now_s = 0.0
    faults = Faults(shard.trading, shard.instruments, lambda: now_s)

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
        assert shard.trading.is_leading
        assert opened(shard) == [1, 3]
        with pytest.raises(Rejected, match="ACCOUNT_FAULTED"):
            await shard.place(3, OrderType.BUY_LIMIT, 108_000)
        assert await faults.run_once() == 1
        await shard.place(3, OrderType.BUY_LIMIT, 108_000)
        shard.quote(110_100)
        assert await faults.run_once() == 0, "it waits longer the second time"
        assert list(shard.trading.desk.faults) == [3]
        now_s = WAIT_FIRST_S
        monkeypatch.undo()
        assert await faults.run_once() == 1
        shard.quote(110_100)
        await shard.drained()
        assert opened(shard) == [1, 2, 3]
        assert shard.instruments.metrics.counter(catalogue.ACCOUNT_FAULTS).child().value == 2
        await check_book(postgres_dsn, shard)
    await shard.database.close()


async def test_a_command_that_raises_harms_its_account_alone(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_small_book(postgres_dsn, 2)
    async with trading_shard(postgres_dsn) as shard:
        faults = Faults(shard.trading, shard.instruments)
        shard.quote(110_000)

        def fail(*_: object, **__: object) -> Any:
            raise RuntimeError("planted")

        monkeypatch.setattr("service.domain.commands.open_order", fail)
        with pytest.raises(RuntimeError, match="planted"):
            await shard.place(1)
        monkeypatch.undo()
        await shard.place(2)
        assert await faults.run_once() == 1
        await shard.place(1)
        assert len(opened(shard)) == 2


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
