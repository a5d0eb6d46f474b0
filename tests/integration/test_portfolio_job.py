"""The portfolio job on a real Valkey: every account, at its group's prices, in few calls (R5.1)."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec
import pytest
import redis.asyncio

from service.domain.account import Account
from service.domain.desk import Desk
from service.domain.instrument import UserType
from service.domain.money import format_money
from service.domain.order import OrderType
from service.instruments import Instruments
from service.loops.portfolio import Portfolios, value
from service.loops.portfolio_job import NotValued, PortfolioJob
from service.storage.cache import Cache, StaticOrders, Version
from service.storage.cache_entries import Changes
from service.storage.cache_keys import PORTFOLIO, portfolio_key, prices_key
from service.storage.errors import Unreachable
from service.storage.group_views import GroupSymbolView, PriceView, group_symbol_view, price_view
from service.storage.valuation import Valuation
from telemetry import catalogue
from tests.support import free_port
from tests.trading_desk import GOLD, NOW, SILVER, committed, make_desk, place, quote, quoted_desk

FIRST = 1_000
INTERVAL_S = 60.0


class Database:
    """Live orders as committed, and how often they were asked for."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.statements: list[list[int]] = []

    async def live_orders(self, account_ids: Sequence[int]) -> dict[int, StaticOrders]:
        self.statements.append(list(account_ids))
        return {each: committed(self.desk, each) for each in account_ids}


@pytest.fixture
def desk() -> Desk:
    return quoted_desk()


@pytest.fixture
def database(desk: Desk) -> Database:
    return Database(desk)


@pytest.fixture
def job(desk: Desk, cache: Cache, database: Database, instruments: Instruments) -> PortfolioJob:
    return PortfolioJob(lambda: desk, cache, database, instruments, INTERVAL_S)


def add_account(desk: Desk, account_id: int, group: str, user_type: UserType) -> None:
    desk.accounts[account_id] = Account(
        account_id, user_type, desk.groups[group], Decimal(100), Decimal("10000.00")
    )


def symbols_of(desk: Desk, group: str) -> list[GroupSymbolView]:
    return [group_symbol_view(terms) for (name, _), terms in desk.terms.items() if name == group]


async def show(desk: Desk, cache: Cache) -> None:
    """Have the cache know the groups' prices and terms, as the price board does."""
    for group in desk.groups:
        terms = [each for (name, _), each in desk.terms.items() if name == group]
        prices = [price for each in terms if (price := price_view(each)) is not None]
        await cache.groups.write_prices({group: prices})
        await cache.groups.write_symbols(group, symbols_of(desk, group))


async def valuation_of(cache: Cache, account_id: int) -> Valuation | None:
    return (await cache.valuations([account_id])).get(account_id)


def counted(instruments: Instruments, metric: catalogue.Metric) -> dict[str, float]:
    family = instruments.metrics.counter(metric)
    values = metric.labels[0].values
    assert values is not None
    return {each: family.child(each).value for each in values if family.child(each).value}


def assert_agrees(found: Valuation | None, desk: Desk, account_id: int) -> None:
    """Assert that a valuation is to the cent what ticks and traders see."""
    assert found is not None
    shown = value(*committed(desk, account_id), desk)
    assert (found.equity, found.margin, found.free_margin) == (
        shown.equity,
        shown.margin,
        shown.free_margin,
    )
    assert (found.margin_level, found.unpriced) == (shown.margin_level, shown.unpriced)
    assert found.positions == len(shown.positions)
    assert found.sequence == desk.accounts[account_id].sequence
    equity = desk.accounts[account_id].equity()
    assert found.equity == (None if equity is None else format_money(equity))


# What it writes


async def test_values_are_to_the_cent_those_of_the_tick(
    job: PortfolioJob, desk: Desk, cache: Cache
) -> None:
    for account_id in (GOLD, SILVER):
        place(desk, account_id, "EURUSD", OrderType.BUY, 12_300)
        place(desk, account_id, "EURUSD", OrderType.SELL, 4_500)
        place(desk, account_id, "USDJPY", OrderType.SELL, 6_700)
        place(desk, account_id, "EURUSD", OrderType.SELL_LIMIT, 1_000, 111_000)
    for step in range(-5, 5):
        quote(desk, "EURUSD", 110_000 + 37 * step, 110_010 + 37 * step)
        quote(desk, "USDJPY", 150_000 + 11 * step, 150_010 + 11 * step)
        await show(desk, cache)
        assert await job.run_once() == 2
        for account_id in (GOLD, SILVER):
            assert_agrees(await valuation_of(cache, account_id), desk, account_id)


async def test_an_account_is_valued_at_its_own_groups_price(
    job: PortfolioJob, desk: Desk, cache: Cache
) -> None:
    for account_id in (GOLD, SILVER):
        place(desk, account_id, "EURUSD", OrderType.BUY, 10_000)
    quote(desk, "EURUSD", 110_110, 110_120)
    await show(desk, cache)
    await job.run_once()
    gold, silver = await valuation_of(cache, GOLD), await valuation_of(cache, SILVER)
    assert gold is not None
    assert silver is not None
    # Bought at 1.10010 and 1.10012 (3 points of markup), sold at 1.10110 and 1.10109.
    assert (gold.equity, silver.equity) == ("10100.00", "10097.00")


async def test_it_says_when_and_of_which_sequence_it_is(
    job: PortfolioJob, desk: Desk, cache: Cache, redis_url: str
) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    place(desk, GOLD, "USDJPY", OrderType.BUY, 1_000)
    quote(desk, "USDJPY", 150_000, 150_010, NOW + 5_000_000_000)
    await show(desk, cache)
    await job.run_once()
    found = await valuation_of(cache, GOLD)
    assert found is not None
    assert found.sequence == 2
    assert found.priced_at == "2026-01-05T08:00:00.000Z"  # the older of two prices
    assert found.computed_at > "2026"
    client = redis.asyncio.Redis.from_url(redis_url)
    assert 0 < await client.ttl(portfolio_key(GOLD)) <= PORTFOLIO.expiry_s
    await client.aclose()


async def test_an_account_that_has_closed_all_is_forgotten(
    job: PortfolioJob, desk: Desk, cache: Cache
) -> None:
    order = place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    place(desk, SILVER, "EURUSD", OrderType.BUY, 1_000)
    await job.run_once()
    assert await valuation_of(cache, GOLD) is not None
    desk.remove_position(order)
    del desk.orders[order.order_id]
    assert await job.run_once() == 1
    assert await valuation_of(cache, GOLD) is None
    assert await valuation_of(cache, SILVER) is not None


async def test_what_another_trades_now_is_the_others_to_remove(
    job: PortfolioJob, desk: Desk, cache: Cache
) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    await job.run_once()
    assert await valuation_of(cache, GOLD) is not None
    desk.accounts.clear()
    assert await job.run_once() == 0
    assert await valuation_of(cache, GOLD) is not None


async def test_what_is_not_committed_yet_is_not_valued(
    job: PortfolioJob, desk: Desk, cache: Cache, instruments: Instruments
) -> None:
    ticket = await cache.open_fill([GOLD])
    await cache.fill_static_orders(ticket, [committed(desk, GOLD)])
    place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    assert await job.run_once() == 0
    assert await valuation_of(cache, GOLD) is None
    assert counted(instruments, catalogue.PORTFOLIO_ACCOUNTS) == {"flat": 1}


# Prices


async def test_a_price_the_cache_lost_is_the_last_known_with_its_time(
    job: PortfolioJob, desk: Desk, cache: Cache, instruments: Instruments, redis_url: str
) -> None:
    place(desk, SILVER, "EURUSD", OrderType.BUY, 1_000)
    await show(desk, cache)
    client = redis.asyncio.Redis.from_url(redis_url)
    await client.delete(prices_key("silver"))
    await client.aclose()
    await job.run_once()
    found = await valuation_of(cache, SILVER)
    assert_agrees(found, desk, SILVER)
    assert found is not None
    assert found.priced_at == "2026-01-05T08:00:00.000Z"
    assert counted(instruments, catalogue.PORTFOLIO_PRICES) == {"last_known": 2, "none": 1}


async def test_the_cached_price_is_what_counts(
    job: PortfolioJob, desk: Desk, cache: Cache, instruments: Instruments
) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY, 10_000)
    await show(desk, cache)
    price = PriceView(
        symbol="EURUSD", sell="1.10200", buy="1.10210", time="2026-01-05T08:00:01.000Z"
    )
    await cache.groups.write_prices({"gold": [price]})
    await job.run_once()
    found = await valuation_of(cache, GOLD)
    assert found is not None
    assert (found.equity, found.priced_at) == ("10190.00", "2026-01-05T08:00:01.000Z")
    assert counted(instruments, catalogue.PORTFOLIO_PRICES) == {"cache": 2, "none": 1}


async def test_without_a_price_nothing_is_worth_zero(
    desk: Desk, cache: Cache, database: Database, instruments: Instruments
) -> None:
    position = place(desk, GOLD, "USDJPY", OrderType.BUY, 1_000)
    place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    fresh = make_desk()
    quote(fresh, "EURUSD", 110_000, 110_010)
    fresh.accounts = desk.accounts
    job = PortfolioJob(lambda: fresh, cache, database, instruments, INTERVAL_S)
    await job.run_once()
    found = await valuation_of(cache, GOLD)
    assert found is not None
    assert (found.equity, found.free_margin, found.margin_level) == (None, None, None)
    assert found.unpriced == [position.order_id]
    assert Decimal(found.margin) > 0
    assert counted(instruments, catalogue.PORTFOLIO_ACCOUNTS) == {"unpriced": 1}


# Many accounts


async def test_more_than_a_hundred_accounts_of_every_kind_are_all_valued(
    job: PortfolioJob, desk: Desk, cache: Cache, database: Database, instruments: Instruments
) -> None:
    """A limit of 100 once left every account above it without a valuation."""
    ids = range(FIRST, FIRST + 1_200)
    for number in ids:
        add_account(
            desk,
            number,
            "gold" if number % 3 else "silver",
            UserType.LIVE if number % 2 else UserType.DEMO,
        )
        place(
            desk,
            number,
            "EURUSD",
            OrderType.BUY if number % 5 else OrderType.SELL,
            10 * number // 100 * 100,
        )
    quote(desk, "EURUSD", 110_110, 110_120)
    await show(desk, cache)
    assert await job.run_once() == len(ids)
    found = await cache.valuations(ids)
    assert len(found) == len(ids)
    for number in ids:
        assert_agrees(found[number], desk, number)
    # 800 accounts of gold in two parts, 400 of silver in one.
    assert [len(each) for each in database.statements] in ([500, 300, 400], [400, 500, 300])


async def test_a_run_takes_three_calls_a_group_and_four_with_one_statement_when_cold(
    desk: Desk, redis_url: str, database: Database
) -> None:
    for number in range(FIRST, FIRST + 400):
        add_account(desk, number, "gold" if number % 2 else "silver", UserType.DEMO)
        place(desk, number, "EURUSD", OrderType.BUY, 1_000)
    instruments = Instruments()
    cache = Cache(redis_url, instruments)
    job = PortfolioJob(lambda: desk, cache, database, instruments, INTERVAL_S)
    family = instruments.metrics.histogram(catalogue.STORE_OPERATION)
    operations = ("read_group", "read_orders", "fill_orders", "write_portfolios")

    def calls() -> list[int]:
        return [family.child("redis", each).count for each in operations]

    await job.run_once()
    assert calls() == [2, 2, 2, 2]
    assert len(database.statements) == 2
    await job.run_once()
    assert calls() == [4, 4, 2, 4]
    assert len(database.statements) == 2
    await cache.close()


async def test_others_run_while_it_works(
    job: PortfolioJob, desk: Desk, cache: Cache, database: Database
) -> None:
    for number in range(FIRST, FIRST + 500):
        add_account(desk, number, "gold", UserType.DEMO)
        place(desk, number, "EURUSD", OrderType.BUY, 1_000)
    await job.run_once()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await job.run_once()
    task.cancel()
    assert turns > 20  # a slice of decoding is 25 accounts: 20 of them in 500


async def test_what_is_cached_as_it_was_is_not_sent_again(
    desk: Desk, database: Database, redis_url: str, instruments: Instruments
) -> None:
    sent: list[int] = []

    class Watched(Cache):
        async def changed_static_orders(
            self, account_ids: Sequence[int], known: Mapping[int, Version]
        ) -> Changes:
            changes = await super().changed_static_orders(account_ids, known)
            sent.append(len(changes.found))
            return changes

    cache = Watched(redis_url, instruments)
    job = PortfolioJob(lambda: desk, cache, database, instruments, INTERVAL_S)
    for number in range(FIRST, FIRST + 100):
        add_account(desk, number, "gold", UserType.DEMO)
        place(desk, number, "EURUSD", OrderType.BUY, 1_000)
    for step in range(5):
        if step == 3:  # one has dealt, another was repaired
            place(desk, FIRST, "EURUSD", OrderType.SELL, 1_000)
            await cache.remove_accounts([FIRST + 1])
            ticket = await cache.open_fill([FIRST, FIRST + 1])
            changed = [committed(desk, FIRST), committed(desk, FIRST + 1)]
            await cache.fill_static_orders(ticket, changed)
        quote(desk, "EURUSD", 110_000 + step, 110_010 + step)
        await show(desk, cache)
        assert await job.run_once() == 100
        for number in range(FIRST, FIRST + 100):
            assert_agrees(await valuation_of(cache, number), desk, number)
    assert sent == [0, 100, 0, 2, 0]
    await cache.close()


# What goes wrong


async def test_an_account_cached_under_its_former_group_is_read_again(
    job: PortfolioJob, desk: Desk, cache: Cache, database: Database
) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY, 10_000)
    await job.run_once()
    account = desk.accounts[GOLD]
    account.group = desk.groups["silver"]
    for exposure in account.exposures.values():
        exposure.terms = desk.terms["silver", "EURUSD"]
    quote(desk, "EURUSD", 110_110, 110_120)
    await show(desk, cache)
    await job.run_once()
    found = await valuation_of(cache, GOLD)
    assert found is not None
    assert found.equity == "10099.00"
    assert database.statements == [[GOLD], [GOLD]]


async def test_an_account_that_cannot_be_valued_fails_alone_and_is_not_left_stale(
    job: PortfolioJob, desk: Desk, cache: Cache, instruments: Instruments
) -> None:
    add_account(desk, FIRST, "gold", UserType.LIVE)
    place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    for account_id in (FIRST, SILVER):
        place(desk, account_id, "EURUSD", OrderType.BUY, 1_000)
    assert await job.run_once() == 3
    view, orders = committed(desk, GOLD)
    await cache.remove_accounts([GOLD])
    ticket = await cache.open_fill([GOLD])
    broken = msgspec.structs.replace(orders[0], symbol="NOPE")
    await cache.fill_static_orders(ticket, [(view, [broken])])
    with pytest.raises(NotValued, match=f"1 accounts cannot be valued, account {GOLD}"):
        await job.run_once()
    assert await valuation_of(cache, GOLD) is None
    assert await valuation_of(cache, FIRST) is not None
    assert await valuation_of(cache, SILVER) is not None
    assert counted(instruments, catalogue.PORTFOLIO_ACCOUNTS) == {"valued": 5, "failed": 1}


async def test_without_redis_a_run_fails_and_asks_the_database_nothing(
    desk: Desk, database: Database, instruments: Instruments
) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    cache = Cache(f"redis://127.0.0.1:{free_port()}/0", instruments)
    job = PortfolioJob(lambda: desk, cache, database, instruments, INTERVAL_S)
    with pytest.raises(Unreachable):
        await job.run_once()
    assert database.statements == []
    assert await Portfolios(cache, database, lambda: desk).valuations([GOLD]) == {}
    await cache.close()


async def test_a_standby_values_nothing(
    cache: Cache, database: Database, instruments: Instruments
) -> None:
    job = PortfolioJob(Desk, cache, database, instruments, INTERVAL_S)
    assert await job.run_once() == 0
