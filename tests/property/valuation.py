"""Plain prices and plain money for the oracle, written from the design, not from the engine.

All numbers are `Fraction`s of real prices and dollars, so nothing but postings is ever rounded
(half even, to cents). It shares with the engine only the data classes of its settings and the
closed enums.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from service.domain.instrument import Group, GroupSymbol, Symbol
from service.domain.order import OrderType

LONG = (OrderType.BUY, OrderType.BUY_LIMIT, OrderType.BUY_STOP)


@dataclass
class PlainQuote:
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


@dataclass
class PlainOrder:
    """A live order; it is a position once `open_price` is set."""

    order_id: int
    account: PlainAccount
    symbol: str
    order_type: OrderType
    volume: int
    price: Fraction | None
    stop_loss: Fraction | None
    take_profit: Fraction | None
    open_price: Fraction | None = None
    opened_on: int | None = None
    margin: Fraction | None = None
    commission: Fraction | None = None

    @property
    def is_long(self) -> bool:
        return self.order_type in LONG


def cents(amount: Fraction) -> Fraction:
    return Fraction(round(amount * 100), 100)


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
        self.deferred = 0

    # Prices

    def point(self, symbol: str) -> Fraction:
        return Fraction(1, 10 ** self.symbols[symbol].digits)

    def buy_price(self, group: str, symbol: str) -> Fraction:
        term, point = self.terms[group, symbol], self.point(symbol)
        points = Fraction(term.spread) * Fraction(term.spread_pip) / point
        return self.quotes[symbol].ask + ceil(points / 2) * point

    def sell_price(self, group: str, symbol: str) -> Fraction:
        term, point = self.terms[group, symbol], self.point(symbol)
        points = Fraction(term.spread) * Fraction(term.spread_pip) / point
        return self.quotes[symbol].bid - floor(points / 2) * point

    def opening_price(self, order: PlainOrder) -> Fraction:
        side = self.buy_price if order.is_long else self.sell_price
        return side(order.account.group, order.symbol)

    def closing_price(self, order: PlainOrder) -> Fraction:
        side = self.sell_price if order.is_long else self.buy_price
        return side(order.account.group, order.symbol)

    # Money

    def in_usd(self, amount: Fraction, currency: str) -> Fraction | None:
        """Convert at the side the broker would deal at: a gain if >= 0, else a loss."""
        if currency == "USD":
            return amount
        for name, symbol in self.symbols.items():
            if (symbol.base_currency, symbol.profit_currency) == (currency, "USD"):
                quote = self.quotes.get(name)
                if quote is not None:
                    return amount * (quote.bid if amount >= 0 else quote.ask)
        for name, symbol in self.symbols.items():
            if (symbol.base_currency, symbol.profit_currency) == ("USD", currency):
                quote = self.quotes.get(name)
                if quote is not None:
                    return amount / (quote.ask if amount >= 0 else quote.bid)
        return None

    def owed_in_usd(self, amount: Fraction, symbol: str) -> Fraction | None:
        converted = self.in_usd(-amount, self.symbols[symbol].profit_currency)
        return None if converted is None else -converted

    def notional(self, order: PlainOrder, price: Fraction) -> Fraction:
        lots = Fraction(order.volume, 10_000)
        return lots * Fraction(self.symbols[order.symbol].contract_size) * price

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

    def free_margin(self, account: PlainAccount) -> Fraction | None:
        total = account.balance
        positions = self.positions(account)
        for order in positions:
            if order.symbol not in self.quotes:
                return None
            profit = self.profit_at(order, self.closing_price(order))
            if profit is None:
                return None
            total += profit
        return total - self.hedged_margin(positions)
