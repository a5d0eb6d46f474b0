"""The live market of a symbol, a group's terms on it, and conversion to the account currency.

Conversion uses raw quotes and the side the broker would deal at: CCYUSD x bid for gains, x ask for
losses; USDCCY / ask for gains, / bid for losses. Margin and commission convert as losses. A rate
that was never quoted is `None`, never zero.
"""

from decimal import Decimal

from service.domain.book import TriggerBook
from service.domain.instrument import Group, GroupSymbol, Symbol
from service.domain.money import ACCOUNT_CURRENCY, EXACT, VOLUME_DIGITS
from service.domain.order import Order
from service.domain.quote import Quote

_NEVER = 1 << 62


class Market:
    """Last quote and trigger books of a symbol: four for prices, one for the spread alone.

    Before the first quote bid, ask, time and `tick`, the number of the last quote, are 0. A quote
    at or after `session_until` asks for the session anew. `parked` are entries of the books that
    fired while they might not be dealt.
    """

    __slots__ = (
        "ask",
        "ask_at_least",
        "ask_at_most",
        "bid",
        "bid_at_least",
        "bid_at_most",
        "jump_ask",
        "jump_bid",
        "jump_count",
        "parked",
        "point_value",
        "profit_scale",
        "rate",
        "reopened_tick",
        "session_until",
        "spread_at_least",
        "symbol",
        "tick",
        "time",
    )

    def __init__(self, symbol: Symbol) -> None:
        self.bid = 0
        self.ask = 0
        self.time = 0
        self.tick = 0
        self.jump_bid = 0
        self.jump_ask = 0
        self.jump_count = 0
        self.ask_at_most = TriggerBook(at_most=True)
        self.ask_at_least = TriggerBook(at_most=False)
        self.bid_at_most = TriggerBook(at_most=True)
        self.bid_at_least = TriggerBook(at_most=False)
        self.spread_at_least = TriggerBook(at_most=False)
        self.rate = Rate(None, None)
        self.parked: dict[tuple[TriggerBook, int, int], None] = {}
        self.reopened_tick = 0
        self.change_symbol(symbol)

    def change_symbol(self, symbol: Symbol) -> None:
        """Take over changed settings of the same symbol; its digits must not change."""
        self.symbol = symbol
        self.profit_scale = _profit_scale(symbol)
        self.point_value = float(self.profit_scale)
        self.session_until = 0

    def is_in_session(self, time: int) -> bool:
        """Tell whether the symbol is traded at `time` (ns UTC)."""
        sessions = self.symbol.sessions
        return sessions is None or sessions.at(time)[0]

    def is_live(self, time: int) -> bool:
        """Tell whether the last quote is of the session that `time` (ns UTC) is in.

        Not before the first quote of a session, nor of a start: such a price is not dealt at.
        """
        sessions = self.symbol.sessions
        return self.tick > 0 and (sessions is None or sessions.is_unbroken(self.time, time))

    def enter_session(self, time: int) -> bool:
        """Tell whether a quote of `time` is in session, and remember how long that holds."""
        sessions = self.symbol.sessions
        if sessions is None:
            self.session_until = _NEVER
            return True
        is_open, until = sessions.at(time)
        self.session_until = until if is_open else 0
        return is_open

    def reopen(self, tick: int) -> None:
        """Let the first quote after `tick` judge what waited, under trading states that changed."""
        self.reopened_tick = tick
        parked, self.parked = self.parked, {}
        for book, trigger, order_id in parked:
            book.add(trigger, order_id)

    @property
    def is_quoted(self) -> bool:
        return self.bid > 0

    def take(self, quote: Quote) -> None:
        """Make `quote` the last quote."""
        self.bid = quote.bid
        self.ask = quote.ask
        self.time = quote.time

    def order_book(self, order: Order) -> TriggerBook:
        """Return the book a pending order waits in (design: Triggers)."""
        order_type = order.order_type
        if order.activated_time is not None:
            return self.ask_at_most if order_type.is_buy else self.bid_at_least
        book: TriggerBook = getattr(self, order_type.book)
        return book

    def stop_loss_book(self, *, is_long: bool) -> TriggerBook:
        return self.bid_at_most if is_long else self.ask_at_least

    def take_profit_book(self, *, is_long: bool) -> TriggerBook:
        return self.bid_at_least if is_long else self.ask_at_most


class Terms:
    """A group's terms on a symbol, bound to its market; shared by all orders under them.

    A group price is `buy = ask + buy_markup`, `sell = bid - sell_markup`, in points. `may_open` and
    `may_close` tell what the trading states of symbol and group allow.
    """

    __slots__ = (
        "buy_markup",
        "group",
        "lot_commissions",
        "market",
        "may_close",
        "may_open",
        "sell_markup",
        "settings",
    )

    def __init__(self, settings: GroupSymbol, group: Group, market: Market) -> None:
        self.market = market
        self.change_group(group)
        self.change(settings)

    def change_group(self, group: Group) -> None:
        """Take over changed settings of the group, or of the symbol, and what they allow."""
        self.group = group
        states = group.trading_state, self.market.symbol.trading_state
        self.may_open = all(state.may_open for state in states)
        self.may_close = all(state.may_close for state in states)

    def change(self, settings: GroupSymbol) -> None:
        """Take over changed settings; the owner re-keys the resting triggers.

        Raises:
            SettingsError: the markup is not a whole number of points; nothing is changed.
        """
        markup = settings.markup_points(self.market.symbol.digits)
        self.settings = settings
        self.lot_commissions: dict[int, Decimal] = {}  # by volume, filled by `commission_at`
        self.buy_markup = markup - markup // 2
        self.sell_markup = markup // 2

    @property
    def is_priced(self) -> bool:
        """Whether there is a quote, and the markup leaves a group price above zero of it."""
        return self.market.bid > self.sell_markup

    @property
    def buy(self) -> int:
        """The price the group buys at, points."""
        return self.market.ask + self.buy_markup

    @property
    def sell(self) -> int:
        """The price the group sells at, points."""
        return self.market.bid - self.sell_markup


class Rate:
    """Converts amounts in a profit currency to USD by a CCYUSD or a USDCCY market."""

    __slots__ = ("_direct", "_inverse", "is_account_currency")

    def __init__(
        self, direct: Market | None, inverse: Market | None, *, is_account_currency: bool = False
    ) -> None:
        self._direct = direct
        self._inverse = inverse
        self.is_account_currency = is_account_currency

    @property
    def markets(self) -> tuple[Market, ...]:
        """The markets whose quotes may change this rate."""
        if self._direct is not None and self._direct.is_quoted:
            return (self._direct,)
        return tuple(each for each in (self._direct, self._inverse) if each is not None)

    def factors(self) -> tuple[float, float] | None:
        """Return what one unit is worth in USD as a gain and as a loss, about; None: no rate."""
        if self.is_account_currency:
            return 1.0, 1.0
        if self._direct is not None and self._direct.is_quoted:
            point = 10.0**-self._direct.symbol.digits
            return self._direct.bid * point, self._direct.ask * point
        if self._inverse is not None and self._inverse.is_quoted:
            unit = 10.0**self._inverse.symbol.digits
            return unit / self._inverse.ask, unit / self._inverse.bid
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rate) and (
            (self._direct, self._inverse, self.is_account_currency)
            == (other._direct, other._inverse, other.is_account_currency)
        )

    def gain(self, amount: Decimal) -> Decimal | None:
        """Convert `amount` in USD as a gain, or as a loss where it is negative; None: no rate."""
        if self.is_account_currency:
            return amount
        is_gain = amount >= 0
        if self._direct is not None and self._direct.is_quoted:
            market = self._direct
            points = market.bid if is_gain else market.ask
            return EXACT.multiply(amount, points).scaleb(-market.symbol.digits, EXACT)
        if self._inverse is not None and self._inverse.is_quoted:
            market = self._inverse
            points = market.ask if is_gain else market.bid
            return EXACT.divide(amount.scaleb(market.symbol.digits, EXACT), points)
        return None

    def loss(self, amount: Decimal) -> Decimal | None:
        """Convert an `amount` >= 0 that the client owes (margin, commission); None: no rate."""
        converted = self.gain(amount.copy_negate())
        return None if converted is None else converted.copy_negate()


def find_rate(currency: str, markets: dict[str, Market]) -> Rate:
    """Return the rate of a currency: the pair by its plain name first, then the first by name."""
    if currency == ACCOUNT_CURRENCY:
        return Rate(None, None, is_account_currency=True)
    return Rate(
        _pair(markets, currency, ACCOUNT_CURRENCY), _pair(markets, ACCOUNT_CURRENCY, currency)
    )


def _pair(markets: dict[str, Market], base: str, profit: str) -> Market | None:
    plain = markets.get(base + profit)
    candidates = [plain] if plain is not None else []
    candidates += [markets[name] for name in sorted(markets)]
    for market in candidates:
        if market.symbol.base_currency == base and market.symbol.profit_currency == profit:
            return market
    return None


def _profit_scale(symbol: Symbol) -> Decimal:
    """Profit of one point on one volume unit, in the profit currency."""
    return symbol.contract_size.scaleb(-symbol.digits - VOLUME_DIGITS, EXACT)
