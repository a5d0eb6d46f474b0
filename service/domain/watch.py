"""Safe price bands: which accounts a tick may bring near a margin call or a stop-out.

While every market an account depends on stays within its band, its margin level cannot cross the
next level that means something: the margin call, or during one the stop-out below and the recovery
above. So a tick examines an account only when it crosses a band, which rests in the same one-sided
books as the orders do, and costs nothing otherwise however many accounts are exposed.

The bounds follow from how much equity can be lost before the level, its slack:

- prices: every symbol may move by the same share `delta` of its price. Net of the other leg, a move
  of all of them loses at most delta * N, N = sum of |long - short| notional in USD;
- spreads: a hedged leg loses by the spread, not by the price. A fifth of the slack goes to spreads
  that widen by a share of the price, over S = sum of the hedged notional;
- rates: those that convert profit may move by up to `MAX_RATE_DELTA`, or as far as a tenth of the
  slack goes over Q = sum of |gains| + |losses| in USD.

What is left of the slack over N is delta, at most `MAX_DELTA`. Where profit is converted, N, S and
Q are taken times 1 / (1 - MAX_RATE_DELTA), which covers a price and an inverse rate moving
together, and N includes 2.2 times `MAX_RATE_DELTA` plus the spread of the rate, of the hedged
notional, whose legs convert on two sides. Volumes, prices and gains are exact integers; the rest is
floats with a guard, and bounds are rounded
inwards: it errs towards examining, which changes nothing for an account that is well.

An account at or below its level, or one that cannot be priced, is examined at every tick of its
markets. Complexity: examining costs O(symbols of the account) + O(positions in other currencies).
"""

from math import ceil, floor
from typing import TYPE_CHECKING, NamedTuple

from service.domain.account import Account
from service.domain.book import WATCH_BIT, TriggerBook
from service.domain.instrument import TradingState
from service.domain.market import Market

if TYPE_CHECKING:
    from service.domain.desk import Desk

MAX_DELTA = 0.25
MAX_RATE_DELTA = 0.05
_CONVERTED = 1 / (1 - MAX_RATE_DELTA)
_TWO_SIDES = 2.2 * MAX_RATE_DELTA
_SPREAD_SHARE = 0.2
_RATE_SHARE = 0.1
_RELATIVE_GUARD = 1e-9
_GUARD_USD = 1e-6
_ALWAYS = 1 << 60
_HALTED = TradingState.HALTED
# What of a market moves an account: a net long by the bid, a net short by the ask, a hedged volume
# by the spread, a converted profit by both sides.
_BID, _ASK, _SPREAD, _RATE = 1, 2, 4, 8


class Watch:
    """The band of one account in one market; None: no bound on that side rests in a book."""

    __slots__ = (
        "account",
        "ask_at_least",
        "ask_at_most",
        "bid_at_least",
        "bid_at_most",
        "market",
        "spread_at_least",
        "watch_id",
    )

    def __init__(self, watch_id: int, account: Account, market: Market) -> None:
        self.watch_id = watch_id
        self.account = account
        self.market = market
        self.bid_at_most: int | None = None
        self.ask_at_least: int | None = None
        self.bid_at_least: int | None = None
        self.ask_at_most: int | None = None
        self.spread_at_least: int | None = None

    def stands(self, book: TriggerBook, price: int) -> bool:
        """Tell whether a book entry is still this band's bound."""
        market = self.market
        if book is market.bid_at_most:
            return price == self.bid_at_most
        if book is market.ask_at_least:
            return price == self.ask_at_least
        if book is market.bid_at_least:
            return price == self.bid_at_least
        if book is market.ask_at_most:
            return price == self.ask_at_most
        return price == self.spread_at_least

    def crossed(self, book: TriggerBook) -> None:
        """Note that a bound has left its book."""
        market = self.market
        if book is market.bid_at_most:
            self.bid_at_most = None
        elif book is market.ask_at_least:
            self.ask_at_least = None
        elif book is market.bid_at_least:
            self.bid_at_least = None
        elif book is market.ask_at_most:
            self.ask_at_most = None
        else:
            self.spread_at_least = None


class _Widths(NamedTuple):
    """By which share of it each price may move: for the worse, in a margin call for the better too.

    `price` <= 0: the account is to be examined at every tick.
    """

    price: float
    rate: float
    spread: float
    price_up: float | None = None
    rate_up: float = 0.0


_NO_WIDTHS = _Widths(0.0, 0.0, 0.0)


def watch_account(desk: "Desk", account: Account) -> bool:
    """Set the bands of an account anew: after it was examined, and whenever it changed.

    Returns:
        Whether it is well: surely on this side of the next level that means something.
    """
    widths, sides = _bands(account)
    if widths is None:
        desk.unpriced.add(account.account_id)
    elif desk.unpriced:
        desk.unpriced.discard(account.account_id)
    watches = account.watches
    if watches.keys() != sides.keys():
        for name in watches.keys() - sides.keys():
            _take_away(desk, watches.pop(name))
        for name in sides.keys() - watches.keys():
            watches[name] = _new_watch(desk, account, desk.markets[name])
    is_well = widths is not None and widths.price > 0
    for name, side in sides.items():
        if is_well:
            assert widths is not None
            _set_band(desk, watches[name], side, widths)
        else:
            _set_bounds(desk, watches[name], _ALWAYS, None, None, None, None)
    return is_well


def _set_band(desk: "Desk", watch: Watch, side: int, widths: _Widths) -> None:
    market = watch.market
    bid, ask = market.bid, market.ask
    price, rate, spread, price_up, rate_up = widths
    bid_low = bid_high = ask_low = ask_high = spread_high = None
    if side & _RATE:
        if rate < price or not side & (_BID | _ASK):
            price = rate
        if price_up is not None and (rate_up < price_up or not side & (_BID | _ASK | _SPREAD)):
            price_up = rate_up
    if side & (_BID | _RATE):
        bid_low = floor(bid * (1 - price))
    if side & (_ASK | _RATE):
        ask_high = ceil(ask * (1 + price))
    if side & _SPREAD:
        spread_high = ask - bid + floor(bid * spread) + 1
    if price_up is not None:
        if side & (_BID | _RATE | _SPREAD):
            bid_high = ceil(bid * (1 + price_up))
        if side & (_ASK | _RATE | _SPREAD):
            ask_low = floor(ask * (1 - price_up))
    _set_bounds(desk, watch, bid_low, ask_high, bid_high, ask_low, spread_high)


def watch_all(desk: "Desk") -> None:
    """Set the bands of every account with positions: after loading, or with a new rate."""
    for account in desk.accounts.values():
        if account.exposures:
            watch_account(desk, account)


def forget_account(desk: "Desk", account: Account) -> None:
    """Take an account's bands away, before it is replaced by what is stored."""
    for watch in account.watches.values():
        _take_away(desk, watch)
    account.watches.clear()
    desk.unpriced.discard(account.account_id)


def _take_away(desk: "Desk", watch: Watch) -> None:
    _set_bounds(desk, watch, None, None, None, None, None)
    del desk.watches[watch.watch_id]


def _new_watch(desk: "Desk", account: Account, market: Market) -> Watch:
    watch = Watch(desk.next_watch_id, account, market)
    desk.next_watch_id += 1
    desk.watches[watch.watch_id] = watch
    return watch


def _set_bounds(
    desk: "Desk",
    watch: Watch,
    bid_at_most: int | None,
    ask_at_least: int | None,
    bid_at_least: int | None,
    ask_at_most: int | None,
    spread_at_least: int | None,
) -> None:
    market = watch.market
    entry = WATCH_BIT | watch.watch_id
    before = watch.bid_at_most
    if bid_at_most != before:
        watch.bid_at_most = bid_at_most
        _move(desk, market.bid_at_most, before, bid_at_most, entry)
    before = watch.ask_at_least
    if ask_at_least != before:
        watch.ask_at_least = ask_at_least
        _move(desk, market.ask_at_least, before, ask_at_least, entry)
    before = watch.bid_at_least
    if bid_at_least != before:
        watch.bid_at_least = bid_at_least
        _move(desk, market.bid_at_least, before, bid_at_least, entry)
    before = watch.ask_at_most
    if ask_at_most != before:
        watch.ask_at_most = ask_at_most
        _move(desk, market.ask_at_most, before, ask_at_most, entry)
    before = watch.spread_at_least
    if spread_at_least != before:
        watch.spread_at_least = spread_at_least
        _move(desk, market.spread_at_least, before, spread_at_least, entry)


def _move(
    desk: "Desk", book: TriggerBook, before: int | None, after: int | None, entry: int
) -> None:
    if after is not None:
        book.add(after, entry)
    if before is not None:
        book.discard(desk.rests)


def _bands(account: Account) -> tuple[_Widths | None, dict[str, int]]:
    """Return the widths of an account's bands, and what of which markets they are set on.

    None where a position cannot be priced, then with the markets that may change that.
    """
    sides: dict[str, int] = {}
    group = account.group
    if not account.exposures or group.trading_state is _HALTED:
        return _NO_WIDTHS, sides
    profit = net = hedged = hedged_spread = converted = 0.0
    unpriced: dict[str, int] = {}
    for name, exposure in account.exposures.items():
        terms = exposure.terms
        market = terms.market
        bid, unit = market.bid, market.point_value
        long_volume, short_volume = exposure.long_volume, exposure.short_volume
        rate = market.rate
        if not terms.is_priced:
            unpriced[name] = _RATE
            continue
        if rate.is_account_currency:
            profit += exposure.points() * unit
            two_sides = 0.0
        else:
            factors = rate.factors()
            for each in rate.markets:
                converter = each.symbol.name
                if factors is None:
                    unpriced[converter] = _RATE
                else:
                    sides[converter] = sides.get(converter, 0) | _RATE
            if factors is None:
                continue
            gain, loss = factors
            gains, losses = exposure.gains_and_losses()
            profit += (gains * gain + losses * loss) * unit
            # A loss converts at the dearer side.
            unit *= loss * _CONVERTED
            converted += (gains - losses) * unit
            two_sides = (loss - gain) / loss + _TWO_SIDES
        side = 0
        if long_volume > short_volume:
            net += (long_volume - short_volume) * bid * unit
            side = _BID
        elif short_volume > long_volume:
            net += (short_volume - long_volume) * market.ask * unit
            side = _ASK
        if long_volume and short_volume:
            both = min(long_volume, short_volume) * unit
            hedged += both * bid
            hedged_spread += both * (market.ask - bid)
            net += two_sides * both * market.ask
            side |= (_BID | _ASK | _SPREAD) if two_sides else _SPREAD
        sides[name] = sides.get(name, 0) | side
    if unpriced or not sides:
        return None, unpriced
    return _widths(account, profit, net, hedged, hedged_spread, converted), sides


def _widths(
    account: Account,
    profit: float,
    net: float,
    hedged: float,
    hedged_spread: float,
    converted: float,
) -> _Widths:
    """Share the slack out; all in USD."""
    group = account.group
    balance, margin = float(account.balance), float(account.margin) / 100
    equity = balance + profit
    guard = _GUARD_USD + _RELATIVE_GUARD * (abs(balance) + net + hedged + converted)
    if not account.in_margin_call:
        slack = equity - margin * float(group.margin_call_level) - guard
        return _Widths(*_share(slack, net, hedged, converted))
    down = equity - margin * float(group.stop_out_level) - guard
    recovered = float(group.margin_call_level + group.margin_call_hysteresis)
    up = margin * recovered - equity - guard
    if up <= 0:
        return _NO_WIDTHS
    # A spread can narrow to nothing, or not further than bid and ask move.
    price_up, rate_up, _ = max(
        _share(up - hedged_spread, net, 0.0, converted),
        _share(up, net + 2 * hedged + hedged_spread, 0.0, converted),
    )
    return _Widths(*_share(down, net, hedged, converted), price_up, rate_up)


def _share(slack: float, net: float, hedged: float, converted: float) -> tuple[float, float, float]:
    """Return by which shares prices, rates and spreads may move for at most `slack` in USD."""
    if slack <= 0:
        return 0.0, 0.0, 0.0
    rate = spread = MAX_RATE_DELTA
    rest = slack
    if converted:
        rate = min(MAX_RATE_DELTA, _RATE_SHARE * slack / converted)
        rest -= rate * converted
    if hedged:
        spread = min(MAX_DELTA, _SPREAD_SHARE * slack / hedged)
        rest -= spread * hedged
    return min(MAX_DELTA, rest / net) if net else MAX_DELTA, rate, spread
