"""The broker that is measured: 30 symbols, 20 groups, an account for every five orders.

Orders rest at least 1 % away from where the quiet quotes move, so that these trigger nothing
however many there are. Everything comes from a seed: the same count gives the same book.
"""

from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import NamedTuple

from service.domain.account import Account, order_margin
from service.domain.desk import Desk
from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    Group,
    GroupSymbol,
    UserType,
)
from service.domain.money import ZERO
from service.domain.order import Order, OrderKind, OrderState, OrderStatus, OrderType
from service.domain.quote import Quote
from service.domain.record import order_state
from service.scenario.instruments import choose_instruments
from service.storage.importer import Opening

SYMBOLS = 30
GROUPS = 20
ORDERS_PER_ACCOUNT = 5
OPENED_NS = 1_700_000_000_000_000_000
TICK_INTERVAL_NS = 20_000
LOT = 10_000

INSTRUMENTS = choose_instruments(SYMBOLS)
_RESTING_TYPES = tuple(
    order_type for order_type in OrderType if order_type.kind in (OrderKind.LIMIT, OrderKind.STOP)
)
_NEAREST_SHARE = 0.01
_FURTHEST_SHARE = 0.05
_PROTECTED_SHARE = 0.6
_QUIET_POINTS = 5


class BenchAccount(NamedTuple):
    """An account with money for all its orders."""

    account_id: int
    user_type: UserType
    group: str
    leverage: Decimal = Decimal(200)
    balance: Decimal = Decimal(10_000_000)


def desk_with_settings() -> Desk:
    """Return a desk with the symbols, groups and terms, and nobody on it."""
    desk = Desk()
    for instrument in INSTRUMENTS:
        desk.set_symbol(instrument.symbol)
    policies = tuple(FillPolicy)
    for number in range(GROUPS):
        name = f"group-{number}"
        policy = policies[number % len(policies)]
        desk.set_group(Group(name, Decimal(100), Decimal(50), True, policy))
        for instrument in INSTRUMENTS:
            desk.set_terms(_terms(name, number, instrument.symbol.name, instrument.symbol.digits))
    return desk


def _terms(group: str, number: int, symbol: str, digits: int) -> GroupSymbol:
    """Return terms with a markup of 0 to 19 points and a commission per lot on both sides."""
    return GroupSymbol(
        group,
        symbol,
        spread=Decimal(number),
        spread_pip=Decimal(1).scaleb(-digits),
        commission_type=CommissionType.ENTRY_AND_EXIT,
        commission_value_type=CommissionValueType.PER_LOT,
        commission=Decimal("3.50"),
        swap_long=Decimal(0),
        swap_short=Decimal(0),
        margin_factor=Decimal(1),
    )


def accounts_for(orders: int) -> Iterator[BenchAccount]:
    """Yield an account for every five orders, spread over the groups."""
    for account_id in range(1, account_of(orders) + 1):
        user_type = UserType.DEMO if account_id % 3 == 0 else UserType.LIVE
        yield BenchAccount(account_id, user_type, f"group-{account_id % GROUPS}")


def account_of(order_id: int) -> int:
    """Return whose order this is; ids count from 1."""
    return (order_id - 1) // ORDERS_PER_ACCOUNT + 1


def seat(desk: Desk, accounts: Iterator[BenchAccount]) -> None:
    """Give accounts a place on the desk."""
    for account_id, user_type, group, leverage, balance in accounts:
        desk.accounts[account_id] = Account(
            account_id, user_type, desk.groups[group], leverage, balance
        )


def opening_of(desk: Desk, accounts: int, orders: Iterator[OrderState]) -> Opening:
    """Return the book of a desk's settings with accounts for `accounts` orders."""
    return Opening(
        [market.symbol for market in desk.markets.values()],
        list(desk.groups.values()),
        [terms.settings for terms in desk.terms.values()],
        accounts_for(accounts),
        orders,
    )


def resting_orders(desk: Desk, count: int) -> Iterator[OrderState]:
    """Yield pending orders 1 to `count`, of all four types on all symbols, most with SL or TP.

    `desk` must seat their accounts: their groups' markups normalise the triggers.
    """
    random = Random(count)
    for order_id in range(1, count + 1):
        symbol, mid, *_ = INSTRUMENTS[random.randrange(SYMBOLS)]
        order_type = random.choice(_RESTING_TYPES)
        is_stop = order_type.kind is OrderKind.STOP
        away = round(mid * random.uniform(_NEAREST_SHARE, _FURTHEST_SHARE))
        price = mid + away if order_type.is_buy is is_stop else mid - away
        sign = 1 if order_type.is_buy else -1
        stop_loss, take_profit = (
            price + side * max(1, away // 2) if random.random() < _PROTECTED_SHARE else None
            for side in (-sign, sign)
        )
        account = desk.accounts[account_of(order_id)]
        order = Order(
            order_id,
            account,
            desk.terms[account.group.name, symbol.name],
            order_type,
            random.randint(1, 100) * 100,
            price,
            stop_loss,
            take_profit,
            f"bench-{order_id}",
            OPENED_NS,
        )
        yield state_of(desk, order)


def open_at(order: Order, price: int) -> None:
    """Make an order a position that was opened at a price, free of commission."""
    order.status = OrderStatus.OPEN
    order.open_price, order.open_time, order.open_tick = price, OPENED_NS, 0
    order.margin, order.commission = order_margin(order, price), ZERO


def state_of(desk: Desk, order: Order) -> OrderState:
    """Return a live order as it is stored, its triggers normalised."""
    desk.set_triggers(order)
    return order_state(order, None)


def quiet_quotes(count: int, first_time: int, seed: int) -> list[Quote]:
    """Return quotes of all symbols, 20 µs apart, that move by a few points and trigger nothing."""
    random = Random(seed)
    quotes = []
    for number in range(count):
        symbol, mid, spread, *_ = INSTRUMENTS[random.randrange(SYMBOLS)]
        bid = mid + random.randint(-_QUIET_POINTS, _QUIET_POINTS) - spread // 2
        quotes.append(Quote(symbol.name, bid, bid + spread, first_time + number * TICK_INTERVAL_NS))
    return quotes
