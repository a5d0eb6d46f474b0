"""The loops before and after the report trigger what the service triggers: same orders, reasons."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import asyncpg

from service.domain.desk import Desk
from service.domain.order import Order, OrderState, OrderType
from service.domain.quote import Quote
from service.storage.embedded import EmbeddedPostgres
from service.storage.importer import Opening
from tests.bench.before import market_pass as before
from tests.bench.before.cache import fill_cache
from tests.bench.before.stores import Counts, Stores
from tests.bench.brokerage import (
    GROUPS,
    INSTRUMENTS,
    OPENED_NS,
    account_of,
    accounts_for,
    desk_with_settings,
    open_at,
    opening_of,
    seat,
    state_of,
)
from tests.bench.claims_prices import prices_of
from tests.bench.claims_product import Product
from tests.bench.report_after import market_pass as report_after
from tests.bench.server import store_book
from tests.support import fresh_database

ORDERS = 300
MESSAGES = 14
TRADED = INSTRUMENTS[:6]
SYMBOLS = {instrument.symbol.name: instrument.symbol for instrument in INSTRUMENTS}
# The loops fill at the market, and convert all profits at one side.
_FILLS = """
SELECT order_id, event, d.price, d.profit
FROM deals d JOIN orders USING (order_id) JOIN symbols USING (symbol)
    JOIN accounts a ON a.account_id = d.account_id JOIN groups USING (group_name)
WHERE fill_policy = 'market' AND profit_currency = 'USD'
ORDER BY order_id, event
"""
GROUP_NAMES = [f"group-{number}" for number in range(GROUPS)]


async def test_all_trigger_the_same_orders_for_the_same_reasons(
    postgres_server: EmbeddedPostgres, redis_url: str, tmp_path: Path
) -> None:
    first, messages = _quotes(Random(1))
    dealt, counts = [], []
    async with AsyncExitStack() as stack:
        book = await stack.enter_async_context(fresh_database(postgres_server))
        await store_book(book, _opening(Random(2), first))
        dsns = [
            await stack.enter_async_context(fresh_database(postgres_server, book)) for _ in range(3)
        ]
        async with Product.on(dsns[0], redis_url, first) as product:
            for message in messages:
                await product.take(message)
            counts.append(product.counts)
        for number, (loops, level) in enumerate(
            ((before, logging.DEBUG), (report_after, logging.INFO)), 1
        ):
            url = f"{redis_url.removesuffix('/0')}/{number}"
            async with Stores.on(dsns[number], url, tmp_path / f"{number}.log", level) as stores:
                await fill_cache(stores)
                await before.store_prices(stores, prices_of(first, SYMBOLS), GROUP_NAMES)
                stored = stores.counts.copy()
                told = [
                    triggered
                    for message in messages
                    for triggered in await loops.take_prices(
                        stores, prices_of(message, SYMBOLS), GROUP_NAMES, message[0].time
                    )
                ]
                counts.append(stores.counts.since(stored))
                assert sorted(told) == sorted(
                    (order_id, reason) for order_id, _, reason in await _deals(dsns[number])
                )
        dealt = [await _deals(dsn) for dsn in dsns]
        filled = [await _query(dsn, _FILLS) for dsn in dsns]
    assert filled[0]
    assert filled == [filled[0]] * len(filled)
    product_deals, *others = dealt
    assert others == [product_deals, product_deals]
    reasons = [reason for _, _, reason in product_deals]
    for reason in ("BUY_LIMIT", "BUY_STOP", "SELL_LIMIT", "SELL_STOP", "STOP_LOSS", "TAKE_PROFIT"):
        assert reasons.count(reason) >= 5, f"{reason}: too few to show anything"
    assert _use(counts[0]) < _use(counts[2]) < _use(counts[1])


def _use(counts: Counts) -> tuple[int, ...]:
    return counts.sessions, counts.statements, counts.round_trips, counts.log_lines


async def _deals(dsn: str) -> list[tuple[int, str, str]]:
    rows = await _query(dsn, "SELECT order_id, event, reason FROM deals ORDER BY order_id, event")
    return [(row["order_id"], row["event"], row["reason"]) for row in rows]


async def _query(dsn: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


def _quotes(random: Random) -> tuple[list[Quote], list[list[Quote]]]:
    """Return a quote of every symbol, then messages of one to three that wander."""
    mids = {each.symbol.name: float(each.price) for each in INSTRUMENTS}
    time = OPENED_NS
    first = []
    for symbol, mid, spread, *_ in INSTRUMENTS:
        first.append(Quote(symbol.name, mid - spread // 2, mid - spread // 2 + spread, time))
    messages = []
    for _ in range(MESSAGES):
        time += 1
        message = []
        for symbol, _, spread, move, _ in random.sample(TRADED, random.randint(1, 3)):
            mids[symbol.name] += random.gauss(0, 18 * move)
            bid = round(mids[symbol.name]) - spread // 2
            message.append(Quote(symbol.name, bid, bid + random.randint(1, 2 * spread), time))
        messages.append(message)
    return first, messages


def _opening(random: Random, first: Sequence[Quote]) -> Opening:
    desk = desk_with_settings()
    for quote in first:
        desk.markets[quote.symbol].take(quote)
    seat(desk, accounts_for(ORDERS))
    return opening_of(desk, ORDERS, _orders(random, desk))


def _orders(random: Random, desk: Desk) -> Iterator[OrderState]:
    """Yield pending and open orders near the market, most with stop loss and take profit."""
    types = [each for each in OrderType if "STOP_LIMIT" not in each.value]
    for order_id in range(1, ORDERS + 1):
        symbol, mid, spread, move, _ = random.choice(TRADED)
        account = desk.accounts[account_of(order_id)]
        order_type = random.choice(types)
        reach = round(20 * move) + spread
        is_open = order_type in (OrderType.BUY, OrderType.SELL)
        price = mid + random.randint(-reach, reach)
        below, above = (
            price + side * random.randint(1, 2 * reach) if random.random() < 0.7 else None
            for side in (-1, 1)
        )
        is_buy = order_type.is_buy
        order = Order(
            order_id,
            account,
            desk.terms[account.group.name, symbol.name],
            order_type,
            random.randint(1, 100) * 100,
            None if is_open else price,
            below if is_buy else above,
            above if is_buy else below,
            None,
            OPENED_NS,
        )
        if is_open:
            open_at(order, price)
        yield state_of(desk, order)
