"""What happens to orders and their money: each function changes the desk and returns its decision.

An order is disarmed before it opens or is cancelled; closing disarms by itself.
"""

from decimal import Decimal
from typing import NamedTuple

from service.domain.account import Account, order_margin, profit_at
from service.domain.decision import Deal, DealEvent, Decision, EventKind, PostingKind
from service.domain.desk import Desk
from service.domain.money import EQUAL_WITHIN, EXACT, ZERO, to_cents
from service.domain.order import (
    CancelReason,
    CloseReason,
    Order,
    OrderKind,
    OrderStatus,
    requested_opening,
)
from service.domain.pricing import commission_at, fill_price
from service.domain.record import NO_POSTINGS, post, record, record_account
from service.domain.swap import settle_swap
from service.domain.trailing import trailed_stop

# Reading a member off its enum costs as much as a call in Python 3.11.
_PENDING, _OPEN, _CLOSED = OrderStatus.PENDING, OrderStatus.OPEN, OrderStatus.CLOSED
_DEAL_OPEN, _DEAL_CLOSE, _DEAL_PART = DealEvent.OPEN, DealEvent.CLOSE, DealEvent.PARTIAL_CLOSE
_OPENED_EVENT, _CLOSED_EVENT = EventKind.OPENED, EventKind.CLOSED
_PARTIALLY_CLOSED_EVENT = EventKind.PARTIALLY_CLOSED
_PROFIT, _COMMISSION, _SWAP = PostingKind.PROFIT, PostingKind.COMMISSION, PostingKind.SWAP
_MARKET, _LIMIT, _STOP = OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP
_STOP_LOSS, _TAKE_PROFIT = CloseReason.STOP_LOSS, CloseReason.TAKE_PROFIT
_STOP_OUT = CloseReason.STOP_OUT


class Opening(NamedTuple):
    """At what an order would open now: points, points, USD exact, USD in cents."""

    price: int
    slippage: int
    margin: Decimal
    commission: Decimal


def price_opening(order: Order) -> Opening | CancelReason:
    """Return at what an order opens now, or why it cannot; changes nothing.

    It opens if its additional hedged margin <= free margin (live equity - margin) before the fill.
    """
    terms, account = order.terms, order.account
    is_long = order.order_type.is_buy
    kind, requested = requested_opening(order)
    price, slippage = fill_price(
        order, kind, requested, terms.buy if is_long else terms.sell, buys=is_long
    )
    margin = order_margin(order, price)
    free_margin = account.free_margin()
    commission = commission_at(order, price) if terms.settings.commission_type.at_entry else ZERO
    if margin is None or free_margin is None or commission is None:
        return CancelReason.NO_RATE
    additional = account.additional_margin(terms.market.symbol.name, margin, is_long=is_long)
    if EXACT.subtract(additional, free_margin) > EQUAL_WITHIN:
        return CancelReason.INSUFFICIENT_MARGIN
    return Opening(price, slippage, margin, commission)


def open_order(
    desk: Desk,
    order: Order,
    opening: Opening,
    time: int,
    *,
    expected: OrderStatus | None,
    key: str | None = None,
) -> Decision:
    """Open a disarmed order; `expected` is None for a market order that was never stored."""
    terms, account = order.terms, order.account
    order.status = _OPEN
    order.open_price = opening.price
    order.open_time = time
    order.open_tick = desk.tick
    order.margin = opening.margin
    order.commission = opening.commission
    if order.trailing_distance is not None:
        order.stop_loss = trailed_stop(order)
    desk.orders[order.order_id] = order
    desk.add_position(order)
    desk.arm(order)
    postings = post(account, ((_COMMISSION, opening.commission.copy_negate()),))
    deal = Deal(
        _DEAL_OPEN,
        order.order_type,
        order.volume,
        opening.price,
        opening.slippage,
        ZERO,
        opening.commission,
        account.balance,
        terms.sell,
        terms.buy,
        terms.market.time,
    )
    return record(desk, _OPENED_EVENT, order, expected, deal, postings, time, key)


def close_order(
    desk: Desk,
    order: Order,
    reason: CloseReason,
    time: int,
    *,
    volume: int | None = None,
    key: str | None = None,
) -> Decision | None:
    """Close an open order at its group's price; None, and nothing changed, without a rate.

    A `volume` below the order's closes that part of it. A swap that is owed is paid first, and a
    balance below zero is reset once the account is flat, if its group protects it.
    """
    terms, account = order.terms, order.account
    is_long = order.order_type.is_buy
    kind, level = _MARKET, None
    if reason is _STOP_LOSS:
        kind, level = _STOP, order.stop_loss
    elif reason is _TAKE_PROFIT:
        kind, level = _LIMIT, order.take_profit
    if volume is None:
        volume = order.volume
    price, slippage = fill_price(
        order, kind, level, terms.sell if is_long else terms.buy, buys=not is_long
    )
    exact_profit = profit_at(order, price, volume)
    commission = ZERO
    if terms.settings.commission_type.at_exit:
        charge = commission_at(order, price, volume)
        if charge is None:
            return None
        commission = charge
    if exact_profit is None:
        return None
    profit = to_cents(exact_profit)
    swap = settle_swap(desk, order) if desk.owing else ZERO
    assert swap is not None, "what converts a profit converts a swap"
    is_whole = volume == order.volume
    if is_whole:
        desk.disarm(order)
        del desk.orders[order.order_id]
        desk.remove_position(order)
        order.status = _CLOSED
    else:
        account.resize_position(order, order.volume - volume)
    assert order.commission is not None
    order.commission = EXACT.add(order.commission, commission)
    order.profit = profit if order.profit is None else EXACT.add(order.profit, profit)
    postings = post(
        account, ((_SWAP, swap), (_PROFIT, profit), (_COMMISSION, commission.copy_negate()))
    )
    market_time = terms.market.time
    deal = Deal(
        _DEAL_CLOSE if is_whole else _DEAL_PART,
        reason,
        volume,
        price,
        slippage,
        profit,
        commission,
        account.balance,
        terms.sell,
        terms.buy,
        time if reason is _STOP_OUT else market_time,
    )
    if not account.exposures:
        account.in_margin_call = False
        if account.balance < 0 and account.group.negative_balance_protection:
            reset = account.balance.copy_negate()
            postings += post(account, ((PostingKind.NEGATIVE_BALANCE, reset),))
    event = _CLOSED_EVENT if is_whole else _PARTIALLY_CLOSED_EVENT
    return record(desk, event, order, _OPEN, deal, postings, time, key)


def cancel_order(
    desk: Desk, order: Order, reason: CancelReason, time: int, *, key: str | None = None
) -> Decision:
    """End a disarmed pending order."""
    del desk.orders[order.order_id]
    order.status = OrderStatus.CANCELLED
    deal = Deal(
        DealEvent.CANCEL,
        reason,
        None,
        None,
        None,
        ZERO,
        ZERO,
        order.account.balance,
        None,
        None,
        time,
    )
    return record(desk, EventKind.CANCELLED, order, _PENDING, deal, NO_POSTINGS, time, key)


def place_order(desk: Desk, order: Order, time: int, *, key: str | None = None) -> Decision:
    """Rest a new pending order."""
    desk.orders[order.order_id] = order
    desk.arm(order)
    if order.expires_at is not None:
        desk.expiries.add(order)
    return record(desk, EventKind.PLACED, order, None, None, NO_POSTINGS, time, key)


def activate_order(desk: Desk, order: Order, time: int) -> Decision:
    """Turn a disarmed stop-limit order, whose stop price is reached, into the limit it waits at."""
    order.activated_time = time
    order.open_tick = desk.tick
    desk.arm(order)
    return record(desk, EventKind.ACTIVATED, order, _PENDING, None, NO_POSTINGS, time)


def trail_order(desk: Desk, order: Order, time: int) -> Decision | None:
    """Move a position's stop loss behind a price that has improved; None: it has not."""
    stop_loss = trailed_stop(order)
    if stop_loss == order.stop_loss:
        return None
    desk.disarm(order)
    order.stop_loss = stop_loss
    order.open_tick = desk.tick  # which does not judge the new level, should it be judged again
    desk.arm(order)
    return record(desk, EventKind.TRAILED, order, _OPEN, None, NO_POSTINGS, time)


class NewTerms(NamedTuple):
    """What of a live order a modification may change; prices in points."""

    price: int | None
    limit_price: int | None
    volume: int
    stop_loss: int | None
    take_profit: int | None
    trailing_distance: int | None
    expires_at: int | None


def modify_order(
    desk: Desk, order: Order, new: NewTerms, time: int, *, key: str | None = None
) -> Decision:
    """Give a live order new terms, checked by the caller; from now on only these trigger."""
    desk.disarm(order)
    order.price, order.limit_price, order.volume = new.price, new.limit_price, new.volume
    order.stop_loss, order.take_profit = new.stop_loss, new.take_profit
    order.trailing_distance = new.trailing_distance
    if order.status is _OPEN:
        if order.trailing_distance is not None and order.terms.may_close:
            order.stop_loss = trailed_stop(order)
    elif new.expires_at != order.expires_at:
        order.expires_at = new.expires_at
        if new.expires_at is not None:
            desk.expiries.add(order)
    desk.arm(order)
    return record(desk, EventKind.MODIFIED, order, order.status, None, NO_POSTINGS, time, key)


def fund_account(
    desk: Desk, account: Account, kind: PostingKind, amount: Decimal, time: int, key: str | None
) -> Decision:
    """Post a deposit (amount > 0) or a withdrawal (amount < 0) in cents."""
    postings = post(account, ((kind, amount),))
    event = EventKind.DEPOSITED if amount > 0 else EventKind.WITHDRAWN
    return record_account(desk, event, account, postings, time, key)
