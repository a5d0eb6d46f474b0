"""The record of what happened: decisions made of the desk's state as it stands after each.

Memory changes first; the decision carries everything the writer needs, so nothing reads the live
order or account again.
"""

from collections.abc import Iterable
from decimal import Decimal

from service.domain.account import Account
from service.domain.decision import (
    AccountState,
    Audit,
    Deal,
    DealEvent,
    Decision,
    EventKind,
    Posting,
    PostingKind,
)
from service.domain.desk import Desk
from service.domain.money import EXACT
from service.domain.order import CancelReason, Order, OrderState, OrderStatus, OrderType

NO_POSTINGS: tuple[Posting, ...] = ()
# Reading a member off its enum costs as much as a call in Python 3.11.
_DEAL_CLOSE = DealEvent.CLOSE
_OPEN = OrderStatus.OPEN
_CORRECTED = CancelReason.CORRECTED


def post(account: Account, amounts: Iterable[tuple[PostingKind, Decimal]]) -> tuple[Posting, ...]:
    """Change the balance by amounts in cents, skipping zeros, and return the ledger entries."""
    postings = []
    for kind, amount in amounts:
        if amount:
            account.balance = EXACT.add(account.balance, amount)
            postings.append(Posting(kind, amount, account.balance))
    return tuple(postings)


def record(
    desk: Desk,
    kind: EventKind,
    order: Order,
    expected: OrderStatus | None,
    deal: Deal | None,
    postings: tuple[Posting, ...],
    time: int,
    key: str | None = None,
    audit: Audit | None = None,
) -> Decision:
    """Return the decision that made an order what it is now."""
    state = order_state(order, deal)
    return _decide(desk, kind, order.account, state, expected, deal, postings, time, key, audit)


def record_account(
    desk: Desk,
    kind: EventKind,
    account: Account,
    postings: tuple[Posting, ...],
    time: int,
    key: str | None = None,
) -> Decision:
    """Return the decision that made an account what it is now, and touched no order."""
    return _decide(desk, kind, account, None, None, None, postings, time, key, None)


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
    audit: Audit | None,
) -> Decision:
    account.sequence += 1
    desk.changed[account.account_id] = account
    decision_id = desk.next_decision_id
    desk.next_decision_id = decision_id + desk.id_step
    after = AccountState(
        account.account_id,
        account.sequence,
        account.balance,
        account.margin,
        account.in_margin_call,
    )
    return Decision(
        decision_id, desk.tick, time, kind, after, order, expected, deal, postings, key, audit
    )


def order_state(order: Order, deal: Deal | None) -> OrderState:
    """Return the immutable state of an order, with what its last deal says of its end."""
    close_price = close_time = reason = None
    status = order.status
    if deal is not None and status is not _OPEN:
        # Only a correction ends an order by the deal that had opened it.
        reason = _CORRECTED if isinstance(deal.reason, OrderType) else deal.reason
        if deal.event is _DEAL_CLOSE:
            close_price, close_time = deal.price, deal.time
    return OrderState(
        order.order_id,
        order.account.account_id,
        order.client_order_id,
        order.terms.market.symbol.name,
        order.order_type,
        status,
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
        order.profit,
        reason,
        order.limit_price,
        order.activated_time,
        order.trailing_distance,
        order.expires_at,
        order.swap,
        order.swapped_until,
    )
