"""What an account holds, in as few numbers as its worth takes, and what that is worth.

An account's orders are read and its numbers made out of them once, and kept until they change; at
other prices they are worth something else. The arithmetic is that of `service.domain.account`, with
its operations in its order, so that the two agree to the last digit: exact integers in points times
volume units, summed by symbol, those that gain apart from those that lose, and converted.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from service.domain.desk import Desk
from service.domain.instrument import Symbol
from service.domain.market import Rate
from service.domain.money import (
    EXACT,
    VOLUME_DIGITS,
    ZERO,
    format_money,
    parse_scaled,
)
from service.domain.order import OrderStatus
from service.domain.times import format_time
from service.loops.portfolio import margin_level
from service.storage.valuation import Valuation
from service.storage.views import AccountView, OrderView

_OPEN = OrderStatus.OPEN

Position = tuple[int, int, int]
"""Order id, volume in 1/10,000 lot, below zero if it is short, and open price in points."""


class Closing(NamedTuple):
    """What a group closes positions in a symbol at, in points; `priced_time` None: it cannot."""

    symbol: Symbol
    sell: int
    buy: int
    profit_scale: Decimal
    rate: Rate
    priced_time: int | None


class GroupPrices(NamedTuple):
    """A group, and what it closes at by symbol."""

    group: str
    closings: Mapping[str, Closing]


class Holding(msgspec.Struct, frozen=True, gc=False):
    """An account with positions, by symbol, as committed up to `sequence`; money in USD.

    Nothing in it refers to what refers to it, so the garbage collector need not look at it.
    """

    account_id: int
    group: str
    sequence: int
    balance: Decimal
    margin: Decimal
    margin_shown: str
    positions: int
    legs: tuple[tuple[str, tuple[Position, ...]], ...]


def group_prices(group: str, desk: Desk) -> GroupPrices:
    """Return what a group closes at, at the prices of a desk's markets now."""
    closings = {}
    for (name, symbol), terms in desk.terms.items():
        if name == group:
            market = terms.market
            time = market.time if terms.is_priced else None
            closings[symbol] = Closing(
                market.symbol, terms.sell, terms.buy, market.profit_scale, market.rate, time
            )
    return GroupPrices(group, closings)


def holding(view: AccountView, orders: Iterable[OrderView], prices: GroupPrices) -> Holding | None:
    """Return what an account of a group holds; None: it has no positions.

    Raises:
        KeyError: the group has no terms on a symbol it holds.
        ValueError: an order does not say what it must.
    """
    legs: dict[str, list[Position]] = {}
    margins: dict[str, tuple[Decimal, Decimal]] = {}
    for order in orders:
        if order.status is not _OPEN:
            continue
        symbol = prices.closings[order.symbol].symbol
        name = symbol.name  # one text for all who hold it
        volume = parse_scaled(order.volume, VOLUME_DIGITS)
        open_price = parse_scaled(order.open_price or "", symbol.digits)
        margin = Decimal(order.margin or "")
        long_margin, short_margin = margins.get(name, (ZERO, ZERO))
        if order.type.is_buy:
            margins[name] = EXACT.add(long_margin, margin), short_margin
        else:
            margins[name] = long_margin, EXACT.add(short_margin, margin)
            volume = -volume
        legs.setdefault(name, []).append((order.order_id, volume, open_price))
    if not legs:
        return None
    margin = ZERO
    for pair in margins.values():
        margin = EXACT.add(margin, max(pair))
    return Holding(
        view.account_id,
        prices.group,
        view.sequence,
        Decimal(view.balance),
        margin,
        format_money(margin),
        sum(map(len, legs.values())),
        tuple((name, tuple(leg)) for name, leg in legs.items()),
    )


def worth(held: Holding, prices: GroupPrices, computed_at: str) -> Valuation:
    """Return what an account is worth at its group's prices.

    Raises:
        KeyError: the group has no terms on a symbol it holds.
    """
    total = ZERO
    unpriced: list[int] = []
    oldest: int | None = None
    for symbol, positions in held.legs:
        closing = prices.closings[symbol]
        time = closing.priced_time
        profit = None
        if time is not None:
            oldest = time if oldest is None or time < oldest else oldest
            profit = _profit(positions, closing)
        if profit is None:
            unpriced += [order_id for order_id, _, _ in positions]
        else:
            total = EXACT.add(total, profit)
    equity = None if unpriced else EXACT.add(held.balance, total)
    # By position: keywords take five times as long.
    return Valuation(
        held.account_id,
        None if equity is None else format_money(equity),
        held.margin_shown,
        None if equity is None else format_money(EXACT.subtract(equity, held.margin)),
        margin_level(equity, held.margin),
        held.positions,
        unpriced,
        None if oldest is None else format_time(oldest),
        held.sequence,
        computed_at,
    )


def _profit(positions: Iterable[Position], closing: Closing) -> Decimal | None:
    """Return the live profit of positions in one symbol, USD; None: no conversion rate."""
    _, sell, buy, scale, rate, _ = closing
    gains = losses = 0
    for _, volume, open_price in positions:
        points = ((sell if volume > 0 else buy) - open_price) * volume
        if points > 0:
            gains += points
        else:
            losses += points
    if not gains or not losses:
        return rate.gain(EXACT.multiply(scale, gains or losses))
    gain = rate.gain(EXACT.multiply(scale, gains))
    loss = rate.gain(EXACT.multiply(scale, losses))
    return None if gain is None or loss is None else EXACT.add(gain, loss)
