"""What happens to orders and money: each function changes the desk and returns its decision.

Memory changes at once; the decision carries everything the writer needs, so nothing reads the live
order again. An order is disarmed before it opens or is cancelled; closing disarms by itself.
"""

from decimal import Decimal
from typing import NamedTuple

from service.domain.account import Account, order_margin, profit_at
from service.domain.decision import (
    AccountState,
    Deal,
    DealEvent,
    Decision,
    EventKind,
    Posting,
    PostingKind,
)
from service.domain.desk import Desk
from service.domain.money import EQUAL_WITHIN, EXACT, ZERO, to_cents
from service.domain.order import (
    CancelReason,
    CloseReason,
    Order,
    OrderKind,
    OrderState,
    OrderStatus,
    OrderType,
)
from service.domain.pricing import commission_at, fill_price

_NO_POSTINGS: tuple[Posting, ...] = ()
# Reading a member off its enum costs as much as a call in Python 3.11.
_PENDING, _OPEN, _CLOSED = OrderStatus.PENDING, OrderStatus.OPEN, OrderStatus.CLOSED
_DEAL_OPEN, _DEAL_CLOSE = DealEvent.OPEN, DealEvent.CLOSE
_OPENED_EVENT, _CLOSED_EVENT = EventKind.OPENED, EventKind.CLOSED
_PROFIT, _COMMISSION = PostingKind.PROFIT, PostingKind.COMMISSION


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
    price, slippage = fill_price(
        order,
        order.order_type.kind,
        order.price,
        terms.buy if is_long else terms.sell,
        buys=is_long,
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
    desk.orders[order.order_id] = order
    desk.add_position(order)
    desk.arm(order)
    postings = _post(account, ((_COMMISSION, opening.commission.copy_negate()),))
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
    return _record(desk, _OPENED_EVENT, order, expected, deal, postings, time, key)


def close_order(
    desk: Desk, order: Order, reason: CloseReason, time: int, *, key: str | None = None
) -> Decision | None:
    """Close an open order at its group's price; None, and nothing changed, without a rate."""
    terms, account = order.terms, order.account
    is_long = order.order_type.is_buy
    kind, level = OrderKind.MARKET, None
    if reason is CloseReason.STOP_LOSS:
        kind, level = OrderKind.STOP, order.stop_loss
    elif reason is CloseReason.TAKE_PROFIT:
        kind, level = OrderKind.LIMIT, order.take_profit
    price, slippage = fill_price(
        order, kind, level, terms.sell if is_long else terms.buy, buys=not is_long
    )
    exact_profit = profit_at(order, price)
    commission = commission_at(order, price) if terms.settings.commission_type.at_exit else ZERO
    if exact_profit is None or commission is None:
        return None
    profit = to_cents(exact_profit)
    desk.disarm(order)
    del desk.orders[order.order_id]
    desk.remove_position(order)
    assert order.commission is not None
    order.commission = EXACT.add(order.commission, commission)
    order.status = _CLOSED
    postings = _post(account, ((_PROFIT, profit), (_COMMISSION, commission.copy_negate())))
    deal = Deal(
        _DEAL_CLOSE,
        reason,
        order.volume,
        price,
        slippage,
        profit,
        commission,
        account.balance,
        terms.sell,
        terms.buy,
        terms.market.time,
    )
    return _record(desk, _CLOSED_EVENT, order, _OPEN, deal, postings, time, key)


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
    return _record(
        desk,
        EventKind.CANCELLED,
        order,
        _PENDING,
        deal,
        _NO_POSTINGS,
        time,
        key,
    )


def place_order(desk: Desk, order: Order, time: int, *, key: str | None = None) -> Decision:
    """Rest a new pending order."""
    desk.orders[order.order_id] = order
    desk.arm(order)
    return _record(desk, EventKind.PLACED, order, None, None, _NO_POSTINGS, time, key)


def modify_order(
    desk: Desk,
    order: Order,
    *,
    price: int | None,
    volume: int,
    stop_loss: int | None,
    take_profit: int | None,
    time: int,
    key: str | None = None,
) -> Decision:
    """Give a live order new terms, checked by the caller; from now on only these trigger."""
    desk.disarm(order)
    order.price, order.volume = price, volume
    order.stop_loss, order.take_profit = stop_loss, take_profit
    desk.arm(order)
    return _record(desk, EventKind.MODIFIED, order, order.status, None, _NO_POSTINGS, time, key)


def fund_account(
    desk: Desk, account: Account, kind: PostingKind, amount: Decimal, time: int, key: str | None
) -> Decision:
    """Post a deposit (amount > 0) or a withdrawal (amount < 0) in cents."""
    postings = _post(account, ((kind, amount),))
    event = EventKind.DEPOSITED if amount > 0 else EventKind.WITHDRAWN
    return _decide(desk, event, account, None, None, None, postings, time, key)


def _record(
    desk: Desk,
    kind: EventKind,
    order: Order,
    expected: OrderStatus | None,
    deal: Deal | None,
    postings: tuple[Posting, ...],
    time: int,
    key: str | None,
) -> Decision:
    state = order_state(order, deal)
    return _decide(desk, kind, order.account, state, expected, deal, postings, time, key)


def _decide(
    desk: Desk,
    kind: EventKind,
    account: Account,
    order: OrderState | None,
    expected: OrderStatus | None,
    deal: Deal | None,
    postings: tuple[Posting, ...],
    time: int,
    key: str | None,
) -> Decision:
    account.sequence += 1
    decision_id = desk.next_decision_id
    desk.next_decision_id = decision_id + 1
    after = AccountState(account.account_id, account.sequence, account.balance, account.margin)
    return Decision(decision_id, desk.tick, time, kind, after, order, expected, deal, postings, key)


def order_state(order: Order, deal: Deal | None) -> OrderState:
    """Return the immutable state of an order, with what its last deal says of its end."""
    close_price = close_time = profit = reason = None
    if deal is not None and not isinstance(deal.reason, OrderType):
        reason = deal.reason
        if deal.event is _DEAL_CLOSE:
            close_price, close_time, profit = deal.price, deal.time, deal.profit
    return OrderState(
        order.order_id,
        order.account.account_id,
        order.client_order_id,
        order.terms.market.symbol.name,
        order.order_type,
        order.status,
        order.volume,
        order.price,
        order.stop_loss,
        order.take_profit,
        order.trigger,
        order.stop_loss_trigger,
        order.take_profit_trigger,
        order.placed_time,
        order.open_price,
        order.open_time,
        order.open_tick,
        order.margin,
        order.commission,
        close_price,
        close_time,
        profit,
        reason,
    )


def _post(
    account: Account, amounts: tuple[tuple[PostingKind, Decimal], ...]
) -> tuple[Posting, ...]:
    """Change the balance by amounts in cents, skipping zeros, and return the ledger entries."""
    postings = []
    for kind, amount in amounts:
        if amount:
            account.balance = EXACT.add(account.balance, amount)
            postings.append(Posting(kind, amount, account.balance))
    return tuple(postings)
