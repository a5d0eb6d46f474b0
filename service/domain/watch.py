"""Safe price bands: which accounts a tick may bring near a margin call or a stop-out.

While every market an account depends on stays within its band, its margin level cannot cross the
next level that means something: the margin call, or during one the stop-out below and the recovery
above. So a tick examines an account only when it crosses a band, which rests in the same one-sided
books as the orders do, and costs nothing otherwise however many accounts are exposed.

An account gets one relative width `delta` for all its markets, the symbols of its positions and
those that convert their profit. With equity E, the level's equity T and

    W = sum over its symbols of (notional + for another profit currency |gains| + |losses|) in USD,

no move of all prices within +-delta loses more than delta * W of equity (for another currency W is
taken times 1.34, which covers price and rate moving together, and 1/(1 - delta) of an inverse rate,
up to delta = 1/4). Hence delta = min(1/4, (E - T) / W). Volumes, prices and gains are exact
integers; the rest is floats with a guard, and bounds are rounded inwards: it errs towards
examining, which changes nothing for an account that is well.

An account at or below its level, or one that cannot be priced, is examined at every tick of its
markets. Complexity: examining costs O(symbols of the account) + O(positions in other currencies).
"""

from math import ceil, floor
from typing import TYPE_CHECKING

from service.domain.account import Account, Exposure
from service.domain.book import WATCH_BIT, TriggerBook
from service.domain.instrument import TradingState
from service.domain.market import Market

if TYPE_CHECKING:
    from service.domain.desk import Desk

MAX_DELTA = 0.25
_CONVERTED = 1.34
_RELATIVE_GUARD = 1e-9
_GUARD_USD = 1e-6
_ALWAYS = 1 << 60
_HALTED = TradingState.HALTED
# Which sides of a market move an account: a long leg by the bid, a short one by the ask.
_BID, _ASK = 1, 2


class Watch:
    """The band of one account in one market; None: no bound on that side rests in a book."""

    __slots__ = (
        "account",
        "ask_at_least",
        "ask_at_most",
        "bid_at_least",
        "bid_at_most",
        "market",
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

    def stands(self, book: TriggerBook, price: int) -> bool:
        """Tell whether a book entry is still this band's bound."""
        market = self.market
        if book is market.bid_at_most:
            return price == self.bid_at_most
        if book is market.ask_at_least:
            return price == self.ask_at_least
        if book is market.bid_at_least:
            return price == self.bid_at_least
        return price == self.ask_at_most

    def crossed(self, book: TriggerBook) -> None:
        """Note that a bound has left its book."""
        market = self.market
        if book is market.bid_at_most:
            self.bid_at_most = None
        elif book is market.ask_at_least:
            self.ask_at_least = None
        elif book is market.bid_at_least:
            self.bid_at_least = None
        else:
            self.ask_at_most = None


def watch_account(desk: "Desk", account: Account) -> bool:
    """Set the bands of an account anew: after it was examined, and whenever it changed.

    Returns:
        Whether it is well: surely on this side of the next level that means something.
    """
    delta, sides = _band(account)
    if delta is None:
        desk.unpriced.add(account.account_id)
    elif desk.unpriced:
        desk.unpriced.discard(account.account_id)
    for name in account.watches.keys() - sides.keys():
        _take_away(desk, account.watches.pop(name))
    for name, side in sides.items():
        watch = account.watches.get(name)
        if watch is None:
            watch = account.watches[name] = _new_watch(desk, account, desk.markets[name])
        if delta is None or delta <= 0:
            _set_bounds(desk, watch, _ALWAYS, None, None, None)
            continue
        market = watch.market
        low, high = 1 - delta, 1 + delta
        bid_low = ask_high = bid_high = ask_low = None
        if side & _BID:
            bid_low = floor(market.bid * low)
            if account.in_margin_call:
                bid_high = ceil(market.bid * high)
        if side & _ASK:
            ask_high = ceil(market.ask * high)
            if account.in_margin_call:
                ask_low = floor(market.ask * low)
        _set_bounds(desk, watch, bid_low, ask_high, bid_high, ask_low)
    return delta is not None and delta > 0


def watch_changed(desk: "Desk") -> None:
    """Set the bands of the accounts that something has happened to."""
    changed = desk.changed
    for account in changed.values():
        watch_account(desk, account)
    changed.clear()


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
    _set_bounds(desk, watch, None, None, None, None)
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


def _move(
    desk: "Desk", book: TriggerBook, before: int | None, after: int | None, entry: int
) -> None:
    if after is not None:
        book.add(after, entry)
    if before is not None:
        book.discard(desk.rests)


def _band(account: Account) -> tuple[float | None, dict[str, int]]:
    """Return the width of an account's bands and the sides of each market they are set on.

    The width is None where a position cannot be priced, then with the markets that may change that,
    and <= 0 where the account is to be examined at every tick.
    """
    sides: dict[str, int] = {}
    group = account.group
    if group.trading_state is _HALTED:
        return 1.0, sides
    weight = profit = 0.0
    unpriced: dict[str, int] = {}
    for name, exposure in account.exposures.items():
        rate = exposure.terms.market.rate
        for market in rate.markets:
            sides[market.symbol.name] = _BID | _ASK
        screened = _screen(exposure)
        if screened is None:
            if not exposure.terms.is_priced:
                unpriced[name] = _BID
            if rate.factors() is None:
                unpriced |= {market.symbol.name: _BID for market in rate.markets}
            continue
        sides[name] = sides.get(name, 0) | screened[2]
        profit += screened[0]
        weight += screened[1]
    if unpriced or not sides:
        return (None if account.exposures else 1.0), unpriced
    margin = float(account.margin) / 100
    equity = float(account.balance) + profit
    guard = _GUARD_USD + _RELATIVE_GUARD * (abs(float(account.balance)) + weight + margin * 100)
    if account.in_margin_call:
        recovered = float(group.margin_call_level + group.margin_call_hysteresis)
        slack = min(equity - margin * float(group.stop_out_level), margin * recovered - equity)
    else:
        slack = equity - margin * float(group.margin_call_level)
    return min(MAX_DELTA, (slack - guard) / weight), sides


def _screen(exposure: Exposure) -> tuple[float, float, int] | None:
    """Return profit and weight in USD, and the sides that move them; None: no price or rate."""
    terms = exposure.terms
    if not terms.is_priced:
        return None
    market = terms.market
    long_volume, short_volume = exposure.long_volume, exposure.short_volume
    notional = market.bid * long_volume + market.ask * short_volume
    side = (_BID if long_volume else 0) | (_ASK if short_volume else 0)
    if market.rate.is_account_currency:
        points = exposure.points()
        return points * market.point_value, notional * market.point_value, side
    factors = market.rate.factors()
    if factors is None:
        return None
    gain, loss = factors
    gains, losses = exposure.gains_and_losses()
    profit = (gains * gain + losses * loss) * market.point_value
    weight = (notional + gains - losses) * market.point_value * max(gain, loss) * _CONVERTED
    return profit, weight, side
