"""What a committed decision counts as in the metrics."""

from service.domain.decision import DealEvent, Decision, EventKind
from service.domain.order import CancelReason, CloseReason, OrderKind, OrderStatus
from service.instruments import Instruments

_NEITHER = (DealEvent.PARTIAL_CLOSE, DealEvent.CORRECTION)
_TRIGGERED_CLOSES = (CloseReason.STOP_LOSS, CloseReason.TAKE_PROFIT)


def count_decision(instruments: Instruments, decision: Decision) -> None:
    """Count an order placed, opened, closed or cancelled, and a trigger with its slippage.

    A part closed and a deal taken back are none of these, unless the correction ends the order.
    """
    order, deal = decision.order, decision.deal
    if order is not None and decision.kind is EventKind.PLACED:
        instruments.order_placed(order.order_type)
    if order is None or deal is None:
        return
    if deal.event in _NEITHER:
        if order.status is OrderStatus.CANCELLED:
            instruments.order_cancelled(CancelReason.CORRECTED)
        return
    if deal.event is DealEvent.CANCEL:
        instruments.order_cancelled(deal.reason)
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
