"""Deal corrections: an administrator takes a deal back, as after a bad tick.

Every ledger entry of the deal is reversed but a swap that was paid with it, which was due anyway,
and a deal `CORRECTION` tells which one it takes back:

- a CLOSE: the position is open again as it was, and rests its triggers from the next tick on; for
  the nights that it stood closed it owes no swap;
- a PARTIAL_CLOSE of a position that is still open: its part joins the rest again;
- an OPEN of a position of which nothing was closed: the order ends, `CancelReason.CORRECTED`, and
  the swap it was charged since is reversed as well.

What the price has done meanwhile is not judged here: the next tick judges stop loss, take profit
and the account's margin. A negative balance that was reset by the deal is negative again.
"""

from dataclasses import dataclass
from decimal import Decimal

from service.domain.decision import (
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
from service.domain.order import Order, OrderState, OrderStatus
from service.domain.record import post, record
from service.domain.rejection import RejectCode, Rejected

_OPEN = OrderStatus.OPEN


@dataclass(frozen=True, slots=True)
class CorrectDeal:
    """Take a deal back: the deal, its order and its ledger entries as they are stored."""

    deal_id: int
    deal: Deal
    order: OrderState
    postings: tuple[Posting, ...]


def correct_deal(
    desk: Desk, command: CorrectDeal, time: int, key: str | None, audit: Audit
) -> Decision:
    """Take a deal back.

    Raises:
        Rejected: DEAL_NOT_CORRECTABLE, with what can be corrected instead.
    """
    deal, stored = command.deal, command.order
    match deal.event:
        case DealEvent.CLOSE:
            order, expected = _reopen(desk, command), OrderStatus.CLOSED
        case DealEvent.PARTIAL_CLOSE:
            order, expected = _rejoin(desk, command), _OPEN
        case DealEvent.OPEN:
            order, expected = _undo(desk, command), _OPEN
        case _:
            raise _refusal(f"a {deal.event} has nothing to take back")
    account = desk.accounts[stored.account_id]
    amounts = [
        (PostingKind.CORRECTION, posting.amount.copy_negate())
        for posting in command.postings
        if posting.kind is not PostingKind.SWAP
    ]
    if deal.event is DealEvent.OPEN and order.swap is not None:
        amounts.append((PostingKind.CORRECTION, order.swap.copy_negate()))
    postings = post(account, amounts)
    correction = deal._replace(
        event=DealEvent.CORRECTION,
        profit=EXACT.minus(deal.profit),
        commission=EXACT.minus(deal.commission),
        balance_after=account.balance,
        time=time,
        corrects=command.deal_id,
    )
    return record(
        desk, EventKind.CORRECTED, order, expected, correction, postings, time, key, audit
    )


def _reopen(desk: Desk, command: CorrectDeal) -> Order:
    stored, deal = command.order, command.deal
    if stored.status is not OrderStatus.CLOSED:
        raise _refusal("its order is not closed: it was corrected already")
    if stored.order_id in desk.orders:
        raise _refusal("it is being corrected already")
    assert stored.commission is not None
    order = desk.restore(
        stored._replace(
            status=_OPEN,
            commission=EXACT.subtract(stored.commission, deal.commission),
            profit=_less(stored.profit, deal.profit),
            swapped_until=max(stored.swapped_until or 0, desk.owed_until) or None,
            close_price=None,
            close_time=None,
            reason=None,
        )
    )
    desk.arm(order)
    return order


def _rejoin(desk: Desk, command: CorrectDeal) -> Order:
    order, deal = _position(desk, command), command.deal
    if order.volume != command.order.volume:
        raise _refusal("its position has just changed: look at it again")
    desk.disarm(order)
    assert order.commission is not None
    assert deal.volume is not None
    order.account.resize_position(order, order.volume + deal.volume)
    order.commission = EXACT.subtract(order.commission, deal.commission)
    order.profit = _less(order.profit, deal.profit)
    desk.arm(order)
    return order


def _undo(desk: Desk, command: CorrectDeal) -> Order:
    order = _position(desk, command)
    if order.volume != command.deal.volume:
        raise _refusal("a part of it was closed: correct that deal first")
    desk.owing.pop(order.order_id, None)  # it owes nothing for what never was
    desk.disarm(order)
    del desk.orders[order.order_id]
    desk.remove_position(order)
    order.status = OrderStatus.CANCELLED
    if not order.account.exposures:
        order.account.in_margin_call = False
    return order


def _position(desk: Desk, command: CorrectDeal) -> Order:
    order = desk.orders.get(command.order.order_id)
    if order is None or order.status is not _OPEN:
        raise _refusal("its order is not open any more: correct the deal that closed it first")
    return order


def _less(total: Decimal | None, amount: Decimal) -> Decimal | None:
    """Return what is left of a sum that is None before its first amount."""
    return None if total is None else EXACT.subtract(total, amount) or None


def _refusal(why: str) -> Rejected:
    return Rejected(RejectCode.DEAL_NOT_CORRECTABLE, f"this deal cannot be corrected: {why}")
