"""The live market of a symbol, a group's terms on it, and conversion to the account currency.

Conversion uses raw quotes and the side the broker would deal at: CCYUSD x bid for gains, x ask for
losses; USDCCY / ask for gains, / bid for losses. Margin and commission convert as losses. A rate
that was never quoted is `None`, never zero.
"""

from decimal import Decimal

from service.domain.book import TriggerBook
from service.domain.instrument import Group, GroupSymbol, Symbol
from service.domain.money import ACCOUNT_CURRENCY, EXACT, VOLUME_DIGITS
from service.domain.order import OrderType
from service.domain.quote import Quote


class Market:
    """Last quote and trigger books of a symbol.

    Before the first quote bid, ask, time and `tick`, the number of the last quote, are 0.
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
        "profit_scale",
        "rate",
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
        self.rate = Rate(None, None)
        self.symbol = symbol
        self.profit_scale = _profit_scale(symbol)

    def change_symbol(self, symbol: Symbol) -> None:
        """Take over changed settings of the same symbol; its digits must not change."""
        self.symbol = symbol
        self.profit_scale = _profit_scale(symbol)

    @property
    def is_quoted(self) -> bool:
        return self.bid > 0

    def take(self, quote: Quote) -> None:
        """Make `quote` the last quote."""
        self.bid = quote.bid
        self.ask = quote.ask
        self.time = quote.time

    def order_book(self, order_type: OrderType) -> TriggerBook:
        """Return the book a resting order of this type waits in (design: Triggers)."""
        book: TriggerBook = getattr(self, order_type.book)
        return book

    def stop_loss_book(self, *, is_long: bool) -> TriggerBook:
        return self.bid_at_most if is_long else self.ask_at_least

    def take_profit_book(self, *, is_long: bool) -> TriggerBook:
        return self.bid_at_least if is_long else self.ask_at_most


class Terms:
    """A group's terms on a symbol, bound to its market; shared by all orders under them.

    A group price is `buy = ask + buy_markup`, `sell = bid - sell_markup`, in points.
    """

    __slots__ = ("buy_markup", "group", "lot_commissions", "market", "sell_markup", "settings")

    def __init__(self, settings: GroupSymbol, group: Group, market: Market) -> None:
        self.group = group
        self.market = market
        self.change(settings)

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
