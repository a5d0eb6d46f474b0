"""The market that the load makes: quotes that stay in a narrow band, and dips on command.

A symbol's quiet quotes are at most `QUIET_POINTS` around where it starts: the last price there is,
or the usual one of a known instrument. A dip is one quote that lies `DIP_POINTS` below the lowest
of these: orders placed there rest until a dip, and then all of them fire at once.

A quote is made of bytes that were ready before: only its time is written anew.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from random import Random

import msgspec

from service.domain.money import format_scaled, to_scaled
from service.domain.order import OrderType
from service.domain.times import format_time
from service.feed.upstream import UpstreamQuote
from service.scenario.instruments import INSTRUMENTS
from service.storage.group_views import GroupSymbolView, PriceView, settings_of

QUIET_POINTS = 5
DIP_POINTS = 20
DEFAULT_SPREAD = 10
MAX_DIPS_KEPT = 64
_ORDER_OF_SYMBOLS = 4_096
_NS_PER_S = 1_000_000_000
_KNOWN = {instrument.symbol.name: instrument for instrument in INSTRUMENTS}
_TIME_MARK = "TIME"


class QuotedSymbol:
    """A symbol and its quotes, all but for their times."""

    __slots__ = ("_quiet", "_turn", "digits", "dip", "dip_bid", "lots", "name", "spread", "weight")

    def __init__(self, view: GroupSymbolView, bid: int, spread: int, weight: float) -> None:
        self.name = view.symbol
        self.digits = view.digits
        self.lots = view.min_lot
        self.spread = spread
        self.weight = weight
        self.dip_bid = bid - QUIET_POINTS - DIP_POINTS
        self.dip = self._head(self.dip_bid)
        self._quiet = [self._head(bid + away) for away in range(-QUIET_POINTS, QUIET_POINTS + 1)]
        self._turn = 0

    def quiet(self) -> bytes:
        """Return a quiet quote up to its time: never the last one's prices."""
        self._turn = (self._turn + 3) % len(self._quiet)
        return self._quiet[self._turn]

    def _head(self, bid: int) -> bytes:
        ask = bid + self.spread
        quote = UpstreamQuote(
            self.name,
            format_scaled(bid, self.digits),
            format_scaled(ask, self.digits),
            _TIME_MARK,
        )
        return msgspec.json.encode(quote).partition(_TIME_MARK.encode())[0]


class Market:
    """All symbols that the load quotes, by name."""

    def __init__(
        self, views: Iterable[GroupSymbolView], prices: Iterable[PriceView], random: Random
    ) -> None:
        """Set up the market of the symbols whose price is known, from a group's view of them."""
        last = {price.symbol: price for price in prices}
        self.symbols: dict[str, QuotedSymbol] = {}
        self.unknown: list[str] = []
        for view in views:
            quoted = _quoted(view, last.get(view.symbol))
            if quoted is None:
                self.unknown.append(view.symbol)
            else:
                self.symbols[view.symbol] = quoted
        self._random = random
        self._order: Sequence[QuotedSymbol] = ()
        self._place = 0
        self._due: deque[tuple[QuotedSymbol, bool]] = deque()
        self._dips: dict[str, int] = {}
        self._second, self._second_text = -1, b""

    def quote_only(self, names: Iterable[str]) -> None:
        """Quote only these of the symbols from now on, each as often as an upstream would."""
        wanted = frozenset(names)
        quoted = [symbol for name, symbol in self.symbols.items() if name in wanted]
        weights = [symbol.weight for symbol in quoted]
        count = _ORDER_OF_SYMBOLS if quoted else 0
        self._order = self._random.choices(quoted, weights, k=count) if quoted else ()
        self._place = 0

    @property
    def is_quoting(self) -> bool:
        return bool(self._order)

    def dip(self, symbol: QuotedSymbol) -> None:
        """Let the next quote be a dip of this symbol, and the one after it a quiet one of it."""
        self._due += (symbol, True), (symbol, False)

    def dip_time(self, text: str) -> int | None:
        """Return when the dip was due that a message tells in whole milliseconds, ns; or None."""
        return self._dips.get(text)

    def next(self, time: int) -> tuple[str, bytes]:
        """Return the symbol and the message of the quote that is due at a time, ns."""
        if self._due:
            symbol, is_dip = self._due.popleft()
        else:
            symbol, is_dip = self._order[self._place], False
            self._place = (self._place + 1) % len(self._order)
        if not is_dip:
            return symbol.name, symbol.quiet() + self._time_text(time)
        self._dips[format_time(time)] = time
        if len(self._dips) > MAX_DIPS_KEPT:
            del self._dips[next(iter(self._dips))]
        return symbol.name, symbol.dip + self._time_text(time)

    def _time_text(self, time: int) -> bytes:
        second, rest = divmod(time, _NS_PER_S)
        if second != self._second:
            self._second = second
            self._second_text = format_time(second * _NS_PER_S)[:-5].encode()
        return b'%b.%09dZ"}' % (self._second_text, rest)


class GroupDips:
    """The prices at which orders of a group rest until a symbol dips."""

    def __init__(self, group: str, views: Iterable[GroupSymbolView]) -> None:
        self._markups = {
            view.symbol: settings_of(group, view).markup_points(view.digits) for view in views
        }

    @property
    def symbols(self) -> frozenset[str]:
        """The names of what the group trades."""
        return frozenset(self._markups)

    def price(self, symbol: QuotedSymbol, order_type: OrderType) -> str:
        """Return the price of a BUY_LIMIT or SELL_STOP that fires when the symbol dips."""
        markup = self._markups[symbol.name]
        if order_type is OrderType.BUY_LIMIT:
            points = symbol.dip_bid + symbol.spread + markup - markup // 2
        else:
            points = symbol.dip_bid - markup // 2
        return format_scaled(points, symbol.digits)


def _quoted(view: GroupSymbolView, price: PriceView | None) -> QuotedSymbol | None:
    known = _KNOWN.get(view.symbol.partition(".")[0])
    spread = DEFAULT_SPREAD if known is None else known.spread
    weight = 1.0 if known is None else known.weight
    if price is not None:
        both = to_scaled(Decimal(price.buy), view.digits) + to_scaled(
            Decimal(price.sell), view.digits
        )
        bid = (both - spread) // 2
    elif known is not None and known.symbol.digits == view.digits:
        bid = known.price - spread // 2
    else:
        return None
    if bid <= spread + QUIET_POINTS + DIP_POINTS:
        return None
    return QuotedSymbol(view, bid, spread, weight)
