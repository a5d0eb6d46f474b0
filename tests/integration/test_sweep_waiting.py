"""Sweeps look for stop-limits and expiry too, and leave alone what may not be dealt now."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain import engine as engine_module
from service.domain.decision import EventKind
from service.domain.desk import Desk
from service.domain.instrument import Symbol, TradingState, UserType
from service.domain.judgement import judge_order
from service.domain.order import CancelReason, Order, OrderType
from service.domain.sessions import DAYS, parse_sessions
from service.loops.requests import Author
from service.loops.sweep import EXPIRY_GRACE_NS, SweepFailed, Sweeps
from service.storage import sweeps as statements
from service.storage.sweeps import CROSSED_PENDING, PAGE, LastQuotes
from tests.adversity.book import check_book, fetch
from tests.adversity.shard import (
    EURUSD,
    GOLD,
    PLAIN,
    SYMBOL,
    Resting,
    Shard,
    open_small_book,
    opened,
    trading_shard,
)
from tests.integration.test_sweep import LIVE, crossed, missed, plant_miss, sweep

ADMIN = Author("admin", "test")
HOUR_NS = 3600 * 10**9


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    await open_small_book(postgres_dsn, 4)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        yield shard


def closed_now() -> Symbol:
    """Return EURUSD with sessions on no day but the one after tomorrow."""
    day = DAYS[(datetime.now(UTC) + timedelta(days=2)).weekday()]
    return replace(EURUSD, sessions=parse_sessions(f"UTC: {day} 10:00-11:00"))


# Stop-limits


@pytest.mark.parametrize(
    ("order_type", "price", "limit_price", "beyond", "back"),
    [
        (OrderType.BUY_STOP_LIMIT, 110_500, 110_200, 110_600, 110_100),
        (OrderType.SELL_STOP_LIMIT, 109_500, 109_800, 109_400, 109_900),
    ],
)
async def test_both_stages_of_a_stop_limit_are_swept(
    order_type: OrderType, price: int, limit_price: int, beyond: int, back: int, shard: Shard
) -> None:
    await shard.place(LIVE, order_type, price, limit_price=limit_price)
    plant_miss(shard)
    shard.quote(beyond)
    await sweep(shard)
    assert missed(shard) == {order_type: 1}
    assert [order.activated_time is not None for order in shard.desk.orders.values()] == [True]
    plant_miss(shard)
    shard.quote(beyond)
    await sweep(shard)
    assert missed(shard) == {order_type: 1}
    shard.quote(back)
    await sweep(shard)
    assert missed(shard) == {order_type: 2}
    assert len(opened(shard)) == 1
    await check_book(shard.database.dsn, shard)


# Expiry


async def test_an_order_that_outlives_its_expiry_is_swept(shard: Shard) -> None:
    expires_at = time.time_ns() + HOUR_NS
    await shard.place(LIVE, OrderType.BUY_LIMIT, 100_000, expires_at=expires_at)
    await shard.place(LIVE, OrderType.BUY_LIMIT, 100_000, expires_at=expires_at + HOUR_NS)
    shard.desk.expiries.pop(2**62)  # lost
    for late, found in ((0, 0), (EXPIRY_GRACE_NS, 1), (EXPIRY_GRACE_NS, 0)):
        clock = expires_at + late
        sweeps = Sweeps(shard.database, shard.trading, shard.instruments, lambda: clock)  # noqa: B023
        await sweeps.run_once()
        await shard.drained()
        assert sweeps.missed == found
    assert missed(shard) == {"EXPIRY": 1}
    assert len(shard.desk.orders) == 1
    reasons = await fetch(shard.database.dsn, "SELECT event, reason FROM deals")
    assert reasons == [("CANCEL", CancelReason.EXPIRED)]
    await check_book(shard.database.dsn, shard)


async def test_an_expiry_that_moved_on_is_not_swept(shard: Shard) -> None:
    """In flight: the database still shows the time it had before."""
    expires_at = time.time_ns() + HOUR_NS
    await shard.place(LIVE, OrderType.BUY_LIMIT, 100_000, expires_at=expires_at)
    [order] = shard.desk.orders.values()
    order.expires_at = None
    clock = expires_at + HOUR_NS
    await Sweeps(shard.database, shard.trading, shard.instruments, lambda: clock).run_once()
    assert missed(shard) == {}


# What waits


async def set_state(shard: Shard, target: str, state: TradingState) -> None:
    if target == "symbol":
        await shard.administration.set_symbol_state(SYMBOL, state, ADMIN)
    else:
        await shard.administration.set_group_state(PLAIN.name, state, ADMIN)


@pytest.mark.parametrize("target", ["symbol", "group"])
@pytest.mark.parametrize("state", [TradingState.CLOSE_ONLY, TradingState.HALTED])
async def test_openings_that_wait_are_not_swept(
    state: TradingState, target: str, shard: Shard
) -> None:
    await shard.place(LIVE, OrderType.BUY_LIMIT, 109_000)
    await set_state(shard, target, state)
    shard.quote(108_900)
    await sweep(shard)
    await set_state(shard, target, TradingState.ACTIVE)
    await sweep(shard)
    assert opened(shard) == []
    assert missed(shard) == {}
    shard.quote(108_900)
    await sweep(shard)
    assert len(opened(shard)) == 1
    assert missed(shard) == {}


@pytest.mark.parametrize("target", ["symbol", "group"])
async def test_closes_that_wait_are_not_swept(target: str, shard: Shard) -> None:
    await shard.place(LIVE, OrderType.BUY, stop_loss=109_500)
    await set_state(shard, target, TradingState.HALTED)
    shard.quote(109_000)
    await sweep(shard)
    await set_state(shard, target, TradingState.ACTIVE)
    await sweep(shard)
    assert len(opened(shard)) == 1
    shard.quote(109_000)
    await shard.drained()
    assert opened(shard) == []
    assert missed(shard) == {}


async def test_closing_only_is_no_reason_to_leave_a_close_alone(shard: Shard) -> None:
    await shard.place(LIVE, OrderType.BUY, stop_loss=109_500)
    await set_state(shard, "group", TradingState.CLOSE_ONLY)
    plant_miss(shard)
    shard.quote(109_000)
    await sweep(shard)
    assert missed(shard) == {"STOP_LOSS": 1}


async def test_nothing_is_swept_out_of_session(shard: Shard) -> None:
    await shard.place(LIVE, OrderType.BUY, stop_loss=109_500)
    await shard.place(LIVE, OrderType.BUY_LIMIT, 109_400)
    plant_miss(shard)
    shard.quote(109_300)
    market = shard.desk.markets[SYMBOL]
    market.change_symbol(closed_now())
    await sweep(shard)
    assert missed(shard) == {}
    market.change_symbol(EURUSD)
    await sweep(shard)
    assert missed(shard) == {"STOP_LOSS": 1, "BUY_LIMIT": 1}


async def test_groups_that_wait_are_not_read(shard: Shard) -> None:
    for account in (1, 2):
        await shard.place(account, OrderType.BUY_LIMIT, 109_000)
    async with shard.database.read("sweep") as connection:
        for waiting, found in (((), 1), ((PLAIN.name,), 0), ((GOLD.name,), 1)):
            quotes = LastQuotes([SYMBOL], [108_900], [108_910], waiting)
            ids = await crossed(connection, CROSSED_PENDING, quotes, UserType.LIVE)
            assert len(ids) == found


async def test_positions_without_a_rate_are_not_swept(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shard.place(LIVE, OrderType.BUY, stop_loss=109_500)
    plant_miss(shard)
    shard.quote(109_000)
    rate = shard.desk.markets[SYMBOL].rate
    monkeypatch.setattr(type(rate), "factors", lambda _: None)
    await sweep(shard)
    assert missed(shard) == {}


# However much there is


async def test_everything_is_found_page_by_page(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resting = [Resting(1, OrderType.BUY_LIMIT, 109_000) for _ in range(7)]
    await open_small_book(postgres_dsn, 2, resting)
    monkeypatch.setattr(statements, "PAGE", 3)
    small = CROSSED_PENDING.replace(f"LIMIT {PAGE}", "LIMIT 3")
    async with trading_shard(postgres_dsn) as shard, shard.database.read("sweep") as connection:
        quotes = LastQuotes([SYMBOL], [108_900], [108_910])
        pages = statements.find_crossed(connection, small, quotes, UserType.LIVE)
        assert [page async for page in pages] == [[1, 2, 3], [4, 5, 6], [7]]


async def test_an_order_that_cannot_be_judged_poisons_no_other(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for account in (1, 2, 3):
        await shard.place(account, OrderType.BUY_LIMIT, 109_000)
    judge = judge_order

    def fail_for_the_first(desk: Desk, order: Order) -> Any:
        if order.order_id == 1:
            order.account.sequence += 1  # half of what a decision does
            raise RuntimeError("planted")
        return judge(desk, order)

    monkeypatch.setattr(engine_module, "judge_order", fail_for_the_first)
    plant_miss(shard)
    shard.quote(108_900)
    before = shard.desk.accounts[1]
    # Taken back to what is stored, its account is judged anew, and fails no more.
    monkeypatch.setattr(
        shard.trading, "reload_account", lambda _: reload(shard, judge, monkeypatch)
    )
    with pytest.raises(SweepFailed, match="1 orders"):
        await shard.sweeps.pending.run_once()
    await shard.drained()
    assert shard.desk.accounts[1] is not before
    assert opened(shard) == [1, 2, 3]
    assert missed(shard) == {"BUY_LIMIT": 2}
    await check_book(shard.database.dsn, shard)


async def reload(shard: Shard, judge: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(engine_module, "judge_order", judge)
    return await type(shard.trading).reload_account(shard.trading, 1)


async def test_activations_and_moves_are_events(shard: Shard) -> None:
    """What the sweep does of them reaches the trader like any other."""
    await shard.place(LIVE, OrderType.BUY_STOP_LIMIT, 110_500, limit_price=110_200)
    plant_miss(shard)
    shard.quote(110_600)
    await sweep(shard)
    payloads = await fetch(
        shard.database.dsn, "SELECT payload::json ->> 'kind' FROM outbox ORDER BY event_id"
    )
    assert payloads == [(EventKind.PLACED,), (EventKind.ACTIVATED,)]
