"""Plain prices and plain money for the oracle, written from the design, not from the engine.

All numbers are `Fraction`s of real prices and dollars, so nothing but postings is ever rounded
(half even, to cents). It shares with the engine only the data classes of its settings and the
closed enums.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from math import ceil, floor
from typing import NamedTuple
from zoneinfo import ZoneInfo

from service.domain.instrument import Group, GroupSymbol, Symbol, TradingState
from service.domain.order import OrderType

SECOND = 1_000_000_000
LONG = (OrderType.BUY, OrderType.BUY_LIMIT, OrderType.BUY_STOP, OrderType.BUY_STOP_LIMIT)
STOP_LIMITS = (OrderType.BUY_STOP_LIMIT, OrderType.SELL_STOP_LIMIT)


class PlainQuote(NamedTuple):
    bid: Fraction
    ask: Fraction
    time: int
    number: int


@dataclass
class PlainAccount:
    account_id: int
    group: str
    leverage: Fraction
    balance: Fraction
    sequence: int = 0
    in_margin_call: bool = False


@dataclass
class PlainOrder:
    """A live order; it is a position once `open_price` is set.

    `trailing` is a distance as a price; `opened_on` and `activated_on` number ticks.
    """

    order_id: int
    account: PlainAccount
    symbol: str
    order_type: OrderType
    volume: int
    price: Fraction | None
    stop_loss: Fraction | None
    take_profit: Fraction | None
    limit_price: Fraction | None = None
    trailing: Fraction | None = None
    expires_at: int | None = None
    activated_time: int | None = None
    activated_on: int | None = None
    open_price: Fraction | None = None
    open_time: int | None = None
    opened_on: int | None = None
    margin: Fraction | None = None
    commission: Fraction | None = None
    profit: Fraction | None = None
    swap: Fraction | None = None
    swapped_until: int | None = None

    @property
    def is_long(self) -> bool:
        return self.order_type in LONG

    @property
    def sign(self) -> int:
        return 1 if self.is_long else -1

    @property
    def is_open(self) -> bool:
        return self.open_price is not None

    @property
    def asked(self) -> Fraction | None:
        """The price it asks to open at."""
        return self.limit_price if self.order_type in STOP_LIMITS else self.price


def cents(amount: Fraction) -> Fraction:
    return Fraction(round(amount * 100), 100)


@cache
def point_of(digits: int) -> Fraction:
    return Fraction(1, 10**digits)


@cache
def exact(amount: Decimal) -> Fraction:
    return Fraction(amount)


@cache
def markup_of(spread: Decimal, pip: Decimal, digits: int) -> tuple[Fraction, Fraction]:
    """Return what a group's markup adds to the ask and takes off the bid."""
    points = Fraction(spread) * Fraction(pip) / point_of(digits)
    return ceil(points / 2) * point_of(digits), floor(points / 2) * point_of(digits)


class Valuation:
    """Quotes, terms and accounts, and what positions are worth in them.

    `orders` holds the live orders, oldest first.
    """

    def __init__(
        self,
        symbols: Iterable[Symbol],
        groups: Iterable[Group],
        terms: Iterable[GroupSymbol],
        accounts: Iterable[PlainAccount],
    ) -> None:
        self.symbols = {symbol.name: symbol for symbol in symbols}
        self.groups = {group.name: group for group in groups}
        self.terms = {(term.group, term.symbol): term for term in terms}
        self.accounts = {account.account_id: account for account in accounts}
        self.orders: list[PlainOrder] = []
        self.quotes: dict[str, PlainQuote] = {}
        self.ticks = 0

    # Prices

    def point(self, symbol: str) -> Fraction:
        return point_of(self.symbols[symbol].digits)

    def buy_price(self, group: str, symbol: str) -> Fraction:
        term = self.terms[group, symbol]
        markup = markup_of(term.spread, term.spread_pip, self.symbols[symbol].digits)
        return self.quotes[symbol].ask + markup[0]

    def sell_price(self, group: str, symbol: str) -> Fraction:
        term = self.terms[group, symbol]
        markup = markup_of(term.spread, term.spread_pip, self.symbols[symbol].digits)
        return self.quotes[symbol].bid - markup[1]

    def opening_price(self, order: PlainOrder) -> Fraction:
        side = self.buy_price if order.is_long else self.sell_price
        return side(order.account.group, order.symbol)

    def closing_price(self, order: PlainOrder) -> Fraction:
        side = self.sell_price if order.is_long else self.buy_price
        return side(order.account.group, order.symbol)

    # What may be dealt

    def state(self, group: str, symbol: str) -> TradingState:
        states = (self.groups[group].trading_state, self.symbols[symbol].trading_state)
        strictest = (TradingState.HALTED, TradingState.CLOSE_ONLY, TradingState.ACTIVE)
        return next(state for state in strictest if state in states)

    def may_open(self, order: PlainOrder) -> bool:
        return self.state(order.account.group, order.symbol) is TradingState.ACTIVE

    def may_close(self, order: PlainOrder) -> bool:
        return self.state(order.account.group, order.symbol) is not TradingState.HALTED

    def in_session(self, symbol: str, time: int) -> bool:
        """Tell whether a symbol is traded at a time, by the clock on its exchange's wall."""
        sessions = self.symbols[symbol].sessions
        if sessions is None:
            return True
        wall = datetime.fromtimestamp(time // SECOND, ZoneInfo(sessions.zone))
        minute = (wall.weekday() * 24 + wall.hour) * 60 + wall.minute
        week = 7 * 24 * 60
        return any((minute - opens) % week < closes - opens for opens, closes in sessions.periods)

    def is_live(self, symbol: str, time: int) -> bool:
        """Tell whether the last quote is of the session that is open at a time."""
        if self.symbols[symbol].sessions is None:
            return True
        quoted = self.quotes[symbol].time
        minutes = range(min(quoted, time), max(quoted, time) + 1, 60 * SECOND)
        return all(self.in_session(symbol, each) for each in (*minutes, quoted, time))

    # Money

    def rate_of(self, currency: str) -> tuple[str, bool] | None:
        """Return the quoted symbol that converts a currency to USD, and whether it multiplies."""
        for pair, multiplies in (((currency, "USD"), True), (("USD", currency), False)):
            for name, symbol in self.symbols.items():
                if (symbol.base_currency, symbol.profit_currency) == pair and name in self.quotes:
                    return name, multiplies
        return None

    def in_usd(self, amount: Fraction, currency: str) -> Fraction | None:
        """Convert at the side the broker would deal at: a gain if >= 0, else a loss."""
        if currency == "USD":
            return amount
        rate = self.rate_of(currency)
        if rate is None:
            return None
        name, multiplies = rate
        quote = self.quotes[name]
        if multiplies:
            return amount * (quote.bid if amount >= 0 else quote.ask)
        return amount / (quote.ask if amount >= 0 else quote.bid)

    def owed_in_usd(self, amount: Fraction, symbol: str) -> Fraction | None:
        converted = self.in_usd(-amount, self.symbols[symbol].profit_currency)
        return None if converted is None else -converted

    def notional(self, order: PlainOrder, price: Fraction) -> Fraction:
        contract = exact(self.symbols[order.symbol].contract_size)
        return order.volume * contract * price / 10_000

    def margin_at(self, order: PlainOrder, price: Fraction) -> Fraction | None:
        factor = Fraction(self.terms[order.account.group, order.symbol].margin_factor)
        amount = self.notional(order, price) / order.account.leverage * factor
        return self.owed_in_usd(amount, order.symbol)

    def profit_at(self, order: PlainOrder, price: Fraction) -> Fraction | None:
        assert order.open_price is not None
        gained = self.notional(order, price) - self.notional(order, order.open_price)
        amount = gained if order.is_long else -gained
        return self.in_usd(amount, self.symbols[order.symbol].profit_currency)

    def commission_at(self, order: PlainOrder, price: Fraction, moment: str) -> Fraction | None:
        term = self.terms[order.account.group, order.symbol]
        rate = Fraction(term.commission)
        if rate == 0 or term.commission_type.value not in (moment, "entry_and_exit"):
            return Fraction(0)
        if term.commission_value_type.value == "per_lot":
            return cents(rate * Fraction(order.volume, 10_000))
        charge = self.owed_in_usd(self.notional(order, price) * rate / 100, order.symbol)
        return None if charge is None else cents(charge)

    def hedged_margin(self, positions: Iterable[PlainOrder]) -> Fraction:
        legs: dict[tuple[str, bool], Fraction] = {}
        for order in positions:
            assert order.margin is not None
            leg = (order.symbol, order.is_long)
            legs[leg] = legs.get(leg, Fraction(0)) + order.margin
        zero = Fraction(0)
        return sum(
            (
                max(legs.get((symbol, True), zero), legs.get((symbol, False), zero))
                for symbol in {symbol for symbol, _ in legs}
            ),
            zero,
        )

    def positions(self, account: PlainAccount) -> list[PlainOrder]:
        return [o for o in self.orders if o.account is account and o.open_price is not None]

    def margin(self, account: PlainAccount) -> Fraction:
        return self.hedged_margin(self.positions(account))

    def live_profit(self, order: PlainOrder) -> Fraction | None:
        if order.symbol not in self.quotes:
            return None
        return self.profit_at(order, self.closing_price(order))

    def equity(self, account: PlainAccount) -> Fraction | None:
        """Return balance + live profit of all positions; None: one of them has no price."""
        total = account.balance
        for order in self.positions(account):
            profit = self.live_profit(order)
            if profit is None:
                return None
            total += profit
        return total

    def free_margin(self, account: PlainAccount) -> Fraction | None:
        equity = self.equity(account)
        return None if equity is None else equity - self.margin(account)
