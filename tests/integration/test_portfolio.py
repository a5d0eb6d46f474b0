"""Portfolios: cache first, the database only on nothing, values as the domain has them (R1)."""

import gc
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import pytest

from service.domain.desk import Desk
from service.domain.order import OrderType
from service.instruments import Instruments
from service.loops.portfolio import Portfolios, value
from service.storage.cache import Cache, StaticOrders
from service.storage.errors import Unreachable
from telemetry import catalogue
from tests.support import free_port
from tests.trading_desk import GOLD, NOW, SILVER, committed, make_desk, place, quote, quoted_desk


class Database:
    """Live orders as committed, and how often they were asked for."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.reads = 0
        self.is_away = False

    async def live_orders(self, account_ids: Sequence[int]) -> dict[int, StaticOrders]:
        self.reads += 1
        if self.is_away:
            raise Unreachable("connection refused")
        known = [each for each in account_ids if each in self.desk.accounts]
        return {account_id: committed(self.desk, account_id) for account_id in known}


@pytest.fixture
def desk() -> Desk:
    return quoted_desk()


@pytest.fixture
def database(desk: Desk) -> Database:
    return Database(desk)


@pytest.fixture
async def portfolios(
    redis_url: str, desk: Desk, database: Database, instruments: Instruments
) -> AsyncIterator[Portfolios]:
    cache = Cache(redis_url, instruments)
    yield Portfolios(cache, database, lambda: desk)
    await cache.close()


def cache_requests(instruments: Instruments) -> dict[str, float]:
    family = instruments.metrics.counter(catalogue.CACHE_REQUESTS)
    return {
        result: family.child("static_orders", result).value for result in ("hit", "miss", "error")
    }


# Where it reads


async def test_the_database_is_read_only_if_the_cache_has_nothing(
    portfolios: Portfolios, database: Database, desk: Desk, instruments: Instruments
) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    first = await portfolios.process_portfolio_update(GOLD)
    again = [await portfolios.process_portfolio_update(GOLD) for _ in range(5)]
    assert again == [first] * 5
    assert database.reads == 1
    assert cache_requests(instruments) == {"hit": 5, "miss": 1, "error": 0}


async def test_an_unknown_account_has_no_portfolio(
    portfolios: Portfolios, database: Database
) -> None:
    assert await portfolios.process_portfolio_update(404) is None
    assert await portfolios.process_portfolio_update(404) is None
    assert database.reads == 2


async def test_without_redis_each_update_reads_the_database(
    desk: Desk, database: Database, instruments: Instruments
) -> None:
    cache = Cache(f"redis://127.0.0.1:{free_port()}/0", instruments)
    portfolios = Portfolios(cache, database, lambda: desk)
    place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    for _ in range(3):
        portfolio = await portfolios.process_portfolio_update(GOLD)
        assert portfolio is not None
        assert len(portfolio.positions) == 1
    assert database.reads == 3
    assert cache_requests(instruments)["error"] == 3
    await cache.close()


async def test_a_cached_account_needs_no_database(
    portfolios: Portfolios, database: Database
) -> None:
    await portfolios.refresh(GOLD)
    database.is_away = True
    assert await portfolios.process_portfolio_update(GOLD) is not None
    with pytest.raises(Unreachable):
        await portfolios.process_portfolio_update(SILVER)


async def test_a_refresh_shows_what_the_cache_has_missed(
    portfolios: Portfolios, desk: Desk
) -> None:
    await portfolios.refresh(GOLD)
    order = place(desk, GOLD, "EURUSD", OrderType.BUY_LIMIT, 1_000, 109_000)
    before = await portfolios.static_orders(GOLD)
    await portfolios.refresh(GOLD)
    after = await portfolios.static_orders(GOLD)
    assert before is not None
    assert after is not None
    assert before[1] == []
    assert [each.order_id for each in after[1]] == [order.order_id]


# What it is worth


async def test_values_follow_the_market_while_the_orders_stay_cached(
    portfolios: Portfolios, database: Database, desk: Desk
) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY, 10_000)
    await portfolios.process_portfolio_update(GOLD)
    quote(desk, "EURUSD", 110_110, 110_120, NOW + 1)
    portfolio = await portfolios.process_portfolio_update(GOLD)
    assert database.reads == 1
    assert portfolio is not None
    assert portfolio.positions[0].profit == "100.00"
    assert portfolio.positions[0].price == "1.10110"
    assert portfolio.positions[0].priced_at == "2026-01-05T08:00:00.000Z"
    assert portfolio.balance == "10000.00"
    assert portfolio.equity == "10100.00"
    assert portfolio.margin == "1100.10"
    assert portfolio.free_margin == "8999.90"
    assert portfolio.margin_level == "918.10"
    assert portfolio.unpriced == []


def test_values_are_the_engines_own(desk: Desk) -> None:
    for account_id in (GOLD, SILVER):
        place(desk, account_id, "EURUSD", OrderType.BUY, 12_300)
        place(desk, account_id, "EURUSD", OrderType.SELL, 4_500)
        place(desk, account_id, "USDJPY", OrderType.SELL, 6_700)
        place(desk, account_id, "EURUSD", OrderType.SELL_LIMIT, 1_000, 111_000)
    for step in range(-5, 5):
        quote(desk, "EURUSD", 110_000 + 37 * step, 110_010 + 37 * step)
        quote(desk, "USDJPY", 150_000 + 11 * step, 150_010 + 11 * step)
        for account_id in (GOLD, SILVER):
            account = desk.accounts[account_id]
            portfolio = value(*committed(desk, account_id), desk)
            equity, free_margin = account.equity(), account.free_margin()
            assert equity is not None
            assert free_margin is not None
            assert portfolio.equity == str(round(equity, 2))
            assert portfolio.margin == str(round(account.margin, 2))
            assert portfolio.free_margin == str(round(free_margin, 2))
            assert portfolio.margin_level == str(round(equity * 100 / account.margin, 2))
            assert len(portfolio.positions) == 3
            assert desk.accounts[account_id] is account


def test_valuing_leaves_nothing_to_the_garbage_collector(desk: Desk) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    place(desk, GOLD, "USDJPY", OrderType.SELL, 1_000)
    view, orders = committed(desk, GOLD)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            value(view, orders, desk)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_without_positions_there_is_no_margin_level(desk: Desk) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY_LIMIT, 1_000, 109_000)
    portfolio = value(*committed(desk, GOLD), desk)
    assert (portfolio.equity, portfolio.margin) == ("10000.00", "0.00")
    assert portfolio.margin_level is None
    assert portfolio.positions == []


def test_equity_of_nothing_or_less_gives_a_level_of_nothing_or_less(desk: Desk) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY, 80_000)
    quote(desk, "EURUSD", 100_000, 100_010)
    portfolio = value(*committed(desk, GOLD), desk)
    assert Decimal(str(portfolio.equity)) < 0
    assert Decimal(str(portfolio.margin_level)) < 0
    desk.accounts[GOLD].balance = Decimal("80080.00")
    portfolio = value(*committed(desk, GOLD), desk)
    assert (portfolio.equity, portfolio.margin_level) == ("0.00", "0.00")


def test_a_position_without_a_rate_is_unpriced_and_never_zero(desk: Desk) -> None:
    priced = place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    position = place(desk, GOLD, "USDJPY", OrderType.BUY, 1_000)
    view, orders = committed(desk, GOLD)
    fresh = make_desk()
    quote(fresh, "EURUSD", 110_000, 110_010)
    portfolio = value(view, orders, fresh)
    assert portfolio.unpriced == [position.order_id]
    assert portfolio.equity is None
    assert portfolio.free_margin is None
    assert portfolio.margin_level is None
    assert portfolio.balance == "10000.00"
    assert Decimal(portfolio.margin) > 0
    profits = {each.order_id: each.profit for each in portfolio.positions}
    assert profits == {priced.order_id: "-1.00", position.order_id: None}
    assert portfolio.positions[1].price is None
