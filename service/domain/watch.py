"""Safe price bands: which accounts a tick may bring near a margin call or a stop-out.

While every market an account depends on stays within its band, its margin level cannot cross the
next level that means something: the margin call, or during one the stop-out below and the recovery
above. So a tick examines an account only when it crosses a band, which rests in the same one-sided
books as the orders do, and costs nothing otherwise however many accounts are exposed.

How wide the bands are says `service.domain.slack`. Bounds are rounded inwards: they err towards
examining, which changes nothing for an account that is well.

An account at or below its level, or one that cannot be priced, is examined at every tick of its
markets. Complexity: examining costs O(symbols of the account) + O(positions in other currencies).
"""

from math import ceil, floor
from typing import TYPE_CHECKING

from service.domain.account import Account
from service.domain.book import WATCH_BIT, TriggerBook
from service.domain.market import Market
from service.domain.slack import ASK, BID, RATE, SPREAD, Widths, widths_of

if TYPE_CHECKING:
    from service.domain.desk import Desk

_ALWAYS = 1 << 60


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


def watch_account(desk: "Desk", account: Account) -> bool:
    """Set the bands of an account anew: after it was examined, and whenever it changed.

    Returns:
        Whether it is well: surely on this side of the next level that means something.
    """
    widths, sides = widths_of(account)
    if widths is None or desk.unpriced:
        _note_unpriced(desk, account, is_unpriced=widths is None)
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


def _set_band(desk: "Desk", watch: Watch, side: int, widths: Widths) -> None:
    market = watch.market
    bid, ask = market.bid, market.ask
    price, rate, spread, price_up, rate_up = widths
    bid_low = bid_high = ask_low = ask_high = spread_high = None
    if side & RATE:
        if rate < price or not side & (BID | ASK):
            price = rate
        if price_up is not None and (rate_up < price_up or not side & (BID | ASK | SPREAD)):
            price_up = rate_up
    if side & (BID | RATE):
        bid_low = floor(bid * (1 - price))
    if side & (ASK | RATE):
        ask_high = ceil(ask * (1 + price))
    if side & SPREAD:
        spread_high = ask - bid + floor(bid * spread) + 1
    if price_up is not None:
        if side & (BID | RATE | SPREAD):
            bid_high = ceil(bid * (1 + price_up))
        if side & (ASK | RATE | SPREAD):
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
    _note_unpriced(desk, account, is_unpriced=False)


def _note_unpriced(desk: "Desk", account: Account, *, is_unpriced: bool) -> None:
    before = desk.unpriced.pop(account.account_id, 0)
    count = 0
    if is_unpriced:
        held = account.exposures.values()
        count = sum(len(each.positions) for each in held if each.profit() is None)
        desk.unpriced[account.account_id] = count
    desk.unpriced_positions += count - before


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
