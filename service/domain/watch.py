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
    """The band of one account in one market: the price its bound rests at in each book."""

    __slots__ = ("account", "bounds", "market", "watch_id")

    def __init__(self, watch_id: int, account: Account, market: Market) -> None:
        self.watch_id = watch_id
        self.account = account
        self.market = market
        self.bounds: dict[TriggerBook, int] = {}


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
            watch = watches[name]
            _set_bounds(desk, watch, {watch.market.bid_at_most: _ALWAYS})
    return is_well


def _set_band(desk: "Desk", watch: Watch, side: int, widths: Widths) -> None:
    market = watch.market
    bid, ask = market.bid, market.ask
    price, rate, spread, price_up, rate_up = widths
    if side & RATE:
        if rate < price or not side & (BID | ASK):
            price = rate
        if price_up is not None and (rate_up < price_up or not side & (BID | ASK | SPREAD)):
            price_up = rate_up
    bounds = {}
    if side & (BID | RATE):
        bounds[market.bid_at_most] = floor(bid * (1 - price))
    if side & (ASK | RATE):
        bounds[market.ask_at_least] = ceil(ask * (1 + price))
    if side & SPREAD:
        bounds[market.spread_at_least] = ask - bid + floor(bid * spread) + 1
    if price_up is not None:
        if side & (BID | RATE | SPREAD):
            bounds[market.bid_at_least] = ceil(bid * (1 + price_up))
        if side & (ASK | RATE | SPREAD):
            bounds[market.ask_at_most] = floor(ask * (1 - price_up))
    _set_bounds(desk, watch, bounds)


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
    _set_bounds(desk, watch, {})
    del desk.watches[watch.watch_id]


def _new_watch(desk: "Desk", account: Account, market: Market) -> Watch:
    watch = Watch(desk.next_watch_id, account, market)
    desk.next_watch_id += 1
    desk.watches[watch.watch_id] = watch
    return watch


def _set_bounds(desk: "Desk", watch: Watch, bounds: dict[TriggerBook, int]) -> None:
    """Move the bounds of a band that changed in their books."""
    before, watch.bounds = watch.bounds, bounds
    entry = WATCH_BIT | watch.watch_id
    for book, price in bounds.items():
        if before.get(book) != price:
            book.add(price, entry)
    for book, price in before.items():
        if bounds.get(book) != price:
            book.discard(desk.rests)
