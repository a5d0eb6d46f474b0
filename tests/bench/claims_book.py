"""The books of the claims: resting orders and positions far from the market, and bursts near it.

Bursts are of symbols whose profits are in dollars. A falling price triggers them: buy limits and
sell stops open, stop losses of long and take profits of short positions close.
"""

from collections.abc import Iterator
from random import Random

from service.domain.desk import Desk
from service.domain.order import Order, OrderState, OrderType
from service.domain.quote import Quote
from service.scenario.instruments import Instrument
from tests.bench.brokerage import (
    GROUPS,
    INSTRUMENTS,
    OPENED_NS,
    SYMBOLS,
    account_of,
    desk_with_settings,
    open_at,
    resting_orders,
    state_of,
)

GROUP_NAMES = [f"group-{number}" for number in range(GROUPS)]
IN_DOLLARS = [each for each in INSTRUMENTS if each.symbol.profit_currency == "USD"]
STEP_POINTS = 4
_FAR_SHARE = 0.1
_RESTING_IN_FIVE = 3


def first_quotes() -> list[Quote]:
    """Return a quote of every symbol, at which nothing triggers."""
    return [quote_of(instrument, 0) for instrument in INSTRUMENTS]


def quote_of(instrument: Instrument, step: int) -> Quote:
    """Return the quote of a symbol after it has fallen by so many steps."""
    bid = instrument.price - instrument.spread // 2 - step * STEP_POINTS
    return Quote(instrument.symbol.name, bid, bid + instrument.spread, OPENED_NS + step)


def quoted_desk() -> Desk:
    """Return a desk with settings and first quotes, and nobody on it."""
    desk = desk_with_settings()
    for quote in first_quotes():
        desk.markets[quote.symbol].take(quote)
    return desk


def mixed_orders(desk: Desk, count: int) -> Iterator[OrderState]:
    """Yield for each account three pending orders and two positions, all far from the market."""
    random = Random(count)
    for state in resting_orders(desk, count):
        if state.order_id % 5 < _RESTING_IN_FIVE:
            yield state
        else:
            instrument = INSTRUMENTS[random.randrange(SYMBOLS)]
            yield _position(desk, state.order_id, instrument, random, None, None)


def spread_positions(desk: Desk, count: int) -> Iterator[OrderState]:
    """Yield positions on all symbols, without stop loss and take profit."""
    random = Random(count)
    for order_id in range(1, count + 1):
        instrument = INSTRUMENTS[random.randrange(SYMBOLS)]
        yield _position(desk, order_id, instrument, random, None, None)


def resting_positions(
    desk: Desk, instrument: Instrument, first_id: int, count: int
) -> Iterator[OrderState]:
    """Yield positions in one symbol, every second one with stop loss and take profit far away."""
    random = Random(first_id)
    for order_id in range(first_id, first_id + count):
        below = above = None
        if order_id % 2:
            far = round(instrument.price * _FAR_SHARE)
            below, above = instrument.price - far, instrument.price + far
        yield _position(desk, order_id, instrument, random, below, above)


def pending_burst(
    desk: Desk, instrument: Instrument, first_id: int, count: int, step: int
) -> Iterator[OrderState]:
    """Yield buy limits and sell stops that the quote of a step triggers, and none before."""
    random = Random(first_id)
    quote = quote_of(instrument, step)
    for order_id in range(first_id, first_id + count):
        account = desk.accounts[account_of(order_id)]
        terms = desk.terms[account.group.name, instrument.symbol.name]
        within = random.randrange(STEP_POINTS)
        if order_id % 2:
            order_type, price = OrderType.BUY_LIMIT, quote.ask + terms.buy_markup + within
        else:
            order_type, price = OrderType.SELL_STOP, quote.bid - terms.sell_markup + within
        lots = random.randint(1, 100) * 100
        order = Order(
            order_id, account, terms, order_type, lots, price, None, None, None, OPENED_NS
        )
        yield state_of(desk, order)


def closing_burst(
    desk: Desk, instrument: Instrument, first_id: int, count: int, step: int
) -> Iterator[OrderState]:
    """Yield positions whose stop loss or take profit the quote of a step reaches, none before."""
    random = Random(first_id)
    quote = quote_of(instrument, step)
    for order_id in range(first_id, first_id + count):
        account = desk.accounts[account_of(order_id)]
        terms = desk.terms[account.group.name, instrument.symbol.name]
        within = random.randrange(STEP_POINTS)
        reached = quote.bid - terms.sell_markup + within
        if not order_id % 2:
            reached = quote.ask + terms.buy_markup + within
        yield _position(desk, order_id, instrument, random, reached, None)


def _position(
    desk: Desk,
    order_id: int,
    instrument: Instrument,
    random: Random,
    below: int | None,
    above: int | None,
) -> OrderState:
    """Return an open order, long if its id is odd; `below` and `above` the market it closes."""
    account = desk.accounts[account_of(order_id)]
    is_long = bool(order_id % 2)
    order = Order(
        order_id,
        account,
        desk.terms[account.group.name, instrument.symbol.name],
        OrderType.BUY if is_long else OrderType.SELL,
        random.randint(1, 20) * 100,
        None,
        below if is_long else above,
        above if is_long else below,
        None,
        OPENED_NS,
    )
    open_at(order, instrument.price)
    return state_of(desk, order)
