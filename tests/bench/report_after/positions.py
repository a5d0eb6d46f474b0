"""Looks for stop losses and take profits that a price reaches: two queries a symbol."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import asyncpg

from tests.bench.before.cache import SELECT_ORDERS, Fields, order_fields
from tests.bench.before.closing import settle
from tests.bench.before.market import EPSILON, Price, Triggered, closing_side
from tests.bench.before.positions import STOP_LOSS, TAKE_PROFIT, USER_TYPES
from tests.bench.before.stores import Session, Stores
from tests.bench.before.user_state import conversion_prices
from tests.bench.report_after.user_states import settings_at_once, tell_users

_SELECT_PROTECTED = (
    SELECT_ORDERS
    + """
WHERE o.symbol = $1 AND o.status = 'OPEN' AND a.user_type = $2 AND a.group_name = ANY ($3)
    AND (o.stop_loss IS NOT NULL OR o.take_profit IS NOT NULL)
ORDER BY o.order_id
"""
)


async def check_positions(
    stores: Stores, symbol: str, prices: Mapping[str, Price], time: int
) -> list[Triggered]:
    """Close what the prices of these groups on a symbol have reached."""
    reached: list[tuple[Fields, str]] = []
    async with stores.session() as session:
        for user_type in USER_TYPES:
            for row in await session.fetch(_SELECT_PROTECTED, symbol, user_type, list(prices)):
                order = order_fields(row)
                side = closing_side(order["order_type"], prices[order["group_name"]])
                reason = _reached(order, side)
                if reason is not None:
                    stores.log.debug("Order %s has reached its %s", order["order_id"], reason)
                    reached.append((order, reason))
        # Batches of other symbols run beside this one: users are locked in one order.
        reached.sort(key=lambda each: each[0]["user_id"])
        return await _close(stores, session, reached, prices, time) if reached else []


def _reached(order: Fields, market: Decimal) -> str | None:
    is_long = order["order_type"].startswith("BUY")
    for name, text, fires_below in (
        (STOP_LOSS, order["stop_loss"], is_long),
        (TAKE_PROFIT, order["take_profit"], not is_long),
    ):
        if text is not None:
            level = Decimal(text)
            if abs(market - level) < EPSILON:
                return name
            if market <= level if fires_below else market >= level:
                return name
    return None


async def _close(
    stores: Stores,
    session: Session,
    reached: Sequence[tuple[Fields, str]],
    prices: Mapping[str, Price],
    time: int,
) -> list[Triggered]:
    pairs = ((order["group_name"], order["symbol"]) for order, _ in reached)
    settings = await settings_at_once(stores, pairs)
    currency = next(iter(settings.values()))["profit_currency"]  # of the one symbol
    rates = await conversion_prices(stores, currency)
    closed, told = [], []
    for order, reason in reached:
        group = order["group_name"]
        terms = settings[group, order["symbol"]]
        try:
            async with session.savepoint():
                is_closed = await settle(session, order, reason, terms, prices[group], rates, time)
        except asyncpg.PostgresError as error:
            stores.log.error("Order %s failed: %s", order["order_id"], error)
            continue
        if is_closed:
            closed.append(Triggered(order["order_id"], reason))
            told.append(order)
    await session.commit()
    await tell_users(stores, session, told)
    stores.log.info("%s positions closed", len(closed))
    return closed
