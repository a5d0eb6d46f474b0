"""The judgement of one tick: what a quote does to orders, positions and accounts.

In this order, oldest order first within each: closes, then openings and activations of stop-limits,
then trailing stops, then the accounts whose price bands were crossed or that something happened to
since the last judgement, by account id. What may not be dealt now, because a symbol or group is
halted or closes only, waits beside the books until that changes; what cannot be dealt on this tick
for want of a rate or of a price above zero rests again and is counted in `TriggerCounts.deferred`.
A halted market judges nobody; the accounts whose bands it crosses are examined on the next tick of
another of their markets.

Each order and account is isolated: one whose rules raise is noted in `Desk.faults` and left alone
from then on; the rest of the tick goes on.
"""

from typing import NamedTuple

from service.domain.account import Account
from service.domain.book import WATCH_BIT, TriggerBook
from service.domain.dealing import (
    activate_order,
    cancel_order,
    close_order,
    open_order,
    price_opening,
    trail_order,
)
from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.instrument import TradingState
from service.domain.market import Market
from service.domain.order import CancelReason, CloseReason, Order, OrderKind, OrderStatus
from service.domain.solvency import judge_margin
from service.domain.watch import watch_account

# Reading a member off its enum costs as much as a call in Python 3.11.
_PENDING, _OPEN = OrderStatus.PENDING, OrderStatus.OPEN
_STOP_LIMIT = OrderKind.STOP_LIMIT
_HALTED = TradingState.HALTED


class _Close(NamedTuple):
    order_id: int
    book: TriggerBook
    trigger: int
    order: Order


class _Fired(NamedTuple):
    """What a quote has fired, not yet judged."""

    closes: list[_Close]
    opens: dict[int, Order]
    trails: dict[int, Order]
    crossed: dict[int, Account]


def judge_tick(desk: Desk, market: Market) -> list[Decision]:
    """Judge what the last quote of a market fires, and change the desk accordingly."""
    closes, opens, trails, crossed = _fire(desk, market)
    if market.symbol.trading_state is _HALTED:
        for account in crossed.values():
            try:
                watch_account(desk, account)
            except Exception as error:
                desk.fault(account, None, error)
        return []
    faults = desk.faults
    desk.changed |= crossed
    closes.sort(key=_by_age)  # which keeps a stop loss before the take profit of its order
    decisions = []
    for order_id, book, trigger, order in closes:
        if faults and order.account.account_id in faults:
            continue
        try:
            decision = _close(desk, order, book)
        except Exception as error:
            desk.fault(order.account, order_id, error)
            continue
        if decision is not None:
            decisions.append(decision)
            book.bury()  # closing counted it dead, but it had left the book already
        elif order.status is _OPEN:
            _defer(desk, order, book, trigger)
    for order_id, order in sorted(opens.items()):
        if order.status is not _PENDING or order.account.account_id in faults:
            continue
        if _was_just_activated(order):
            for book, trigger in desk.triggers(order):
                _defer(desk, order, book, trigger)
            continue
        order.trigger = None
        try:
            decisions.append(_open(desk, order))
        except Exception as error:
            desk.fault(order.account, order_id, error)
    for order_id, order in sorted(trails.items()):
        if order.status is _OPEN and order.account.account_id not in faults:
            try:
                trailed = trail_order(desk, order, market.time)
            except Exception as error:
                desk.fault(order.account, order_id, error)
                continue
            if trailed is not None:
                decisions.append(trailed)
    if desk.changed:
        decisions += _judge_accounts(desk, market.time)
    return decisions


def _by_age(fired: _Close) -> int:
    return fired.order_id


def _judge_accounts(desk: Desk, time: int) -> list[Decision]:
    decisions = []
    changed, desk.changed = desk.changed, {}
    for account_id in sorted(changed):
        account = changed[account_id]
        if account_id in desk.faults:
            continue
        try:
            if watch_account(desk, account):
                continue
            judged = judge_margin(desk, account, time)
            if judged:
                decisions += judged
                watch_account(desk, account)
        except Exception as error:
            desk.fault(account, None, error)
    desk.changed.clear()
    return decisions


def _fire(desk: Desk, market: Market) -> _Fired:
    """Take what the last quote crosses out of the books, and sort it by what it does."""
    fired = _Fired([], {}, {}, {})
    closes, opens, trails, crossed = fired
    held: list[tuple[TriggerBook, int, Order]] = []
    faults, counts = desk.faults, desk.trigger_counts
    # A tolerance lets one tick reach both levels of a position: the stop loss then counts, so
    # its book comes before that of the take profit, on both sides.
    for book, price in (
        (market.ask_at_least, market.ask),
        (market.ask_at_most, market.ask),
        (market.bid_at_most, market.bid),
        (market.bid_at_least, market.bid),
        (market.spread_at_least, market.ask - market.bid),
    ):
        for trigger, entry_id in book.pop_crossed(price):
            if not desk.rests(book, trigger, entry_id):
                counts.gone += 1
                book.bury()
                continue
            if entry_id & WATCH_BIT:
                counts.band += 1
                watch = desk.watches[entry_id ^ WATCH_BIT]
                del watch.bounds[book]
                crossed[watch.account.account_id] = watch.account
                continue
            counts.fired += 1
            order = desk.orders[entry_id]
            if faults and order.account.account_id in faults:
                continue  # its triggers rest anew when it is loaded anew
            terms = order.terms
            is_pending = order.status is _PENDING
            if not (terms.may_open if is_pending else terms.may_close):
                market.parked[book, trigger, entry_id] = None
            elif not terms.is_priced:
                held.append((book, trigger, order))
            elif is_pending:
                opens[entry_id] = order
            else:
                if trigger == order.trail_trigger and book is not market.stop_loss_book(
                    is_long=order.order_type.is_buy
                ):
                    book.bury()  # as for what closes
                    trails[entry_id] = order
                    if trigger != order.take_profit_trigger:
                        continue
                closes.append(_Close(entry_id, book, trigger, order))
    for book, trigger, order in held:
        _defer(desk, order, book, trigger)
    return fired


def _was_just_activated(order: Order) -> bool:
    """Tell whether a stop-limit was activated on this very tick, which is judged once more."""
    return order.activated_time is not None and (order.open_tick or 0) >= order.terms.market.tick


def _close(desk: Desk, order: Order, book: TriggerBook) -> Decision | None:
    """Close a position whose trigger fired; None: it is not to be closed on this tick."""
    market = order.terms.market
    assert order.open_tick is not None
    if order.status is not _OPEN or order.open_tick >= market.tick:
        return None
    is_stop = book is market.stop_loss_book(is_long=order.order_type.is_buy)
    reason = CloseReason.STOP_LOSS if is_stop else CloseReason.TAKE_PROFIT
    return close_order(desk, order, reason, market.time)


def _open(desk: Desk, order: Order) -> Decision:
    """Open or activate an order whose trigger has left its book, or cancel it."""
    time = order.terms.market.time
    if order.order_type.kind is _STOP_LIMIT and order.activated_time is None:
        return activate_order(desk, order, time)
    opening = price_opening(order)
    if isinstance(opening, CancelReason):
        return cancel_order(desk, order, opening, time)
    return open_order(desk, order, opening, time, expected=_PENDING)


def _defer(desk: Desk, order: Order, book: TriggerBook, trigger: int) -> None:
    """Rest a fired trigger again that cannot be dealt on this tick."""
    order.armed_tick = desk.tick
    book.add(trigger, order.order_id)
    desk.trigger_counts.deferred += 1


def judge_order(desk: Desk, order: Order) -> Decision | None:
    """Judge one order at its market's last quote: a missed trigger, or an account loaded anew.

    Returns:
        The decision, or None where nothing of it is crossed, it may not be dealt, or the price is
        one of before a restart.
    """
    market, terms = order.terms.market, order.terms
    is_pending = order.status is _PENDING
    if (
        not market.tick
        or not terms.is_priced
        or not (terms.may_open if is_pending else terms.may_close)
    ):
        return None
    for book, price in desk.triggers(order):
        quote = market.ask if book in (market.ask_at_most, market.ask_at_least) else market.bid
        if quote <= price if book.fires_at_most else quote >= price:
            if is_pending:
                if _was_just_activated(order):
                    return None
                desk.disarm(order)
                return _open(desk, order)
            if price == order.trail_trigger and price != order.take_profit_trigger:
                return trail_order(desk, order, market.time)
            return _close(desk, order, book)
    return None
