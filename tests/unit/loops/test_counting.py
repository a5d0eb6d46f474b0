"""Each thing that happens to an order or an account is counted as what it is."""

from decimal import Decimal

import pytest

from service.domain.decision import DealEvent, Decision, EventKind, Posting, PostingKind
from service.domain.order import CancelReason, CloseReason, OrderStatus, OrderType
from service.instruments import Instruments
from service.loops.counting import count_decision
from tests.unit.storage.decisions import Clerk, state_of
from tests.unit.telemetry.test_metrics import samples

CENT = Decimal("0.01")


def counted(*decisions: Decision) -> dict[str, float]:
    """Return what is not zero after these were counted."""
    instruments = Instruments()
    for decision in decisions:
        count_decision(instruments, decision)
    found = samples(instruments.metrics)
    return {n: value for n, value in found.items() if value and n.startswith("tapewatch_")}


def of_kind(kind: EventKind, order_type: OrderType = OrderType.BUY) -> Decision:
    """Return a decision without a deal on an order."""
    return (
        Clerk()
        .place(1)
        ._replace(kind=kind, order=state_of(1, 1, OrderStatus.OPEN)._replace(order_type=order_type))
    )


def of_account(kind: EventKind) -> Decision:
    return Clerk().fund(CENT)._replace(kind=kind, postings=())


def deal_of(
    event: DealEvent, reason: OrderType | CloseReason | CancelReason, status: OrderStatus
) -> Decision:
    decision = Clerk().close(1)
    assert decision.deal is not None
    assert decision.order is not None
    return decision._replace(
        deal=decision.deal._replace(event=event, reason=reason),
        order=decision.order._replace(status=status),
        postings=(),
    )


@pytest.mark.parametrize(
    ("decision", "names"),
    [
        (of_kind(EventKind.PLACED), ["tapewatch_orders_placed_total{type=BUY}"]),
        (of_kind(EventKind.MODIFIED), []),
        (
            of_kind(EventKind.ACTIVATED, OrderType.SELL_STOP_LIMIT),
            ["tapewatch_orders_activated_total{type=SELL_STOP_LIMIT}"],
        ),
        (of_kind(EventKind.TRAILED), ["tapewatch_trailing_moves_total{}"]),
        (of_account(EventKind.DEPOSITED), []),
        (of_account(EventKind.MARGIN_CALLED), ["tapewatch_margin_calls_total{}"]),
        (of_account(EventKind.MARGIN_RESTORED), ["tapewatch_margin_restored_total{}"]),
        (
            deal_of(DealEvent.CLOSE, CloseReason.STOP_OUT, OrderStatus.CLOSED),
            ["tapewatch_orders_closed_total{reason=STOP_OUT}"],
        ),
        (
            deal_of(DealEvent.PARTIAL_CLOSE, CloseReason.CLIENT, OrderStatus.OPEN),
            ["tapewatch_partial_closes_total{}"],
        ),
        (
            deal_of(DealEvent.CORRECTION, CloseReason.STOP_LOSS, OrderStatus.OPEN),
            ["tapewatch_corrections_total{}"],
        ),
        (
            deal_of(DealEvent.CORRECTION, OrderType.BUY, OrderStatus.CANCELLED),
            [
                "tapewatch_corrections_total{}",
                "tapewatch_orders_cancelled_total{reason=CORRECTED}",
            ],
        ),
        (
            deal_of(DealEvent.CANCEL, CancelReason.EXPIRED, OrderStatus.CANCELLED),
            ["tapewatch_orders_cancelled_total{reason=EXPIRED}"],
        ),
    ],
)
def test_what_happens_is_counted_once(decision: Decision, names: list[str]) -> None:
    assert counted(decision) == dict.fromkeys(names, 1)


def test_a_triggered_close_is_a_trigger_with_its_slippage() -> None:
    found = counted(deal_of(DealEvent.CLOSE, CloseReason.STOP_LOSS, OrderStatus.CLOSED))
    assert found["tapewatch_triggers_total{trigger=STOP_LOSS}"] == 1
    assert found["tapewatch_slippage_points_bucket{le=+Inf,trigger=STOP_LOSS}"] == 1


def test_swaps_and_resets_are_counted_wherever_they_are_posted() -> None:
    swap, reset = (
        Posting(kind, CENT, CENT) for kind in (PostingKind.SWAP, PostingKind.NEGATIVE_BALANCE)
    )
    charged = of_kind(EventKind.SWAP_CHARGED)._replace(postings=(swap,))
    closed = deal_of(DealEvent.CLOSE, CloseReason.CLIENT, OrderStatus.CLOSED)
    found = counted(charged, closed._replace(postings=(swap, reset)))
    assert found["tapewatch_swaps_charged_total{}"] == 2
    assert found["tapewatch_balance_resets_total{}"] == 1
