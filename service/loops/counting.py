"""What a committed decision counts as in the metrics."""

from collections.abc import Sequence

from service.domain.decision import Deal, DealEvent, Decision, EventKind, PostingKind
from service.domain.order import CancelReason, CloseReason, OrderKind, OrderState, OrderStatus
from service.instruments import Instruments
from service.storage.queue import Written

_TRIGGERED_CLOSES = (CloseReason.STOP_LOSS, CloseReason.TAKE_PROFIT)
_SWAP, _NEGATIVE_BALANCE = PostingKind.SWAP, PostingKind.NEGATIVE_BALANCE


def count_commit(
    instruments: Instruments,
    written: Sequence[Written],
    now_ns: int,
    seconds: float,
    trace: str | None,
) -> None:
    """Count a commit that was over at `now_ns` (`perf_counter_ns`), and what it committed."""
    instruments.commit(len(written), seconds, trace)
    instruments.database_call("commit", seconds, trace=trace)
    for decision, received_ns, _, cause in written:
        if received_ns:
            traced = None if cause is None else cause.trace
            instruments.tick_to_commit((now_ns - received_ns) / 1e9, traced)
        count_decision(instruments, decision)


def count_decision(instruments: Instruments, decision: Decision) -> None:
    """Count what has happened to an order or an account, and a trigger with its slippage."""
    order, deal = decision.order, decision.deal
    if order is None:
        _count_account(instruments, decision.kind)
    elif deal is not None:
        _count_deal(instruments, order, deal)
    else:
        _count_change(instruments, decision.kind, order)
    for posting in decision.postings:
        if posting.kind is _SWAP:
            instruments.swap_charged()
        elif posting.kind is _NEGATIVE_BALANCE:
            instruments.balance_reset()


def _count_account(instruments: Instruments, kind: EventKind) -> None:
    if kind is EventKind.MARGIN_CALLED:
        instruments.margin_called()
    elif kind is EventKind.MARGIN_RESTORED:
        instruments.margin_restored()


def _count_change(instruments: Instruments, kind: EventKind, order: OrderState) -> None:
    if kind is EventKind.PLACED:
        instruments.order_placed(order.order_type)
    elif kind is EventKind.ACTIVATED:
        instruments.order_activated(order.order_type)
    elif kind is EventKind.TRAILED:
        instruments.stop_trailed()


def _count_deal(instruments: Instruments, order: OrderState, deal: Deal) -> None:
    if deal.event is DealEvent.CANCEL:
        instruments.order_cancelled(deal.reason)
        return
    if deal.event is DealEvent.PARTIAL_CLOSE:
        instruments.partially_closed()
        return
    if deal.event is DealEvent.CORRECTION:
        instruments.deal_corrected()
        if order.status is OrderStatus.CANCELLED:
            instruments.order_cancelled(CancelReason.CORRECTED)
        return
    if deal.event is DealEvent.OPEN:
        instruments.order_opened(order.order_type)
        is_triggered = order.order_type.kind is not OrderKind.MARKET
    else:
        instruments.order_closed(deal.reason)
        is_triggered = deal.reason in _TRIGGERED_CLOSES
    if is_triggered and deal.slippage is not None:
        instruments.triggered(deal.reason)
        instruments.slippage(deal.reason, deal.slippage)
