"""A deal with all that it did to its order and its account: what a correction takes back."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from service.domain.decision import Deal, DealEvent, Posting, PostingKind
from service.domain.order import CancelReason, CloseReason, OrderState, OrderType
from service.storage.rows import ORDER_SELECT, order_from

_DEAL_COLUMNS = (
    "event, reason, volume, price, slippage, profit, commission, balance_after, group_sell, "
    "group_buy, time, corrects"
)
_DEAL_WIDTH = len(_DEAL_COLUMNS.split(", "))
DEALT = f"""
SELECT {", ".join(f"d.{column}" for column in _DEAL_COLUMNS.split(", "))}, d.corrected_by,
    {", ".join(f"o.{column}" for column in ORDER_SELECT.split(", "))}
FROM deals d JOIN orders o USING (order_id)
WHERE d.deal_id = $1
"""
POSTED = """
SELECT kind, amount, balance_after FROM ledger WHERE decision_id = $1 ORDER BY entry_id
"""


class Dealt(NamedTuple):
    """A deal, its order as stored now, its ledger entries, and the deal that corrected it."""

    deal_id: int
    deal: Deal
    order: OrderState
    postings: tuple[Posting, ...]
    corrected_by: int | None


def dealt_from(deal_id: int, row: Sequence[Any], posted: Sequence[Sequence[Any]]) -> Dealt:
    """Read a deal from a row of `DEALT` and rows of `POSTED`."""
    event, reason, *rest = row[:_DEAL_WIDTH]
    return Dealt(
        deal_id,
        Deal(DealEvent(event), _reason(reason, DealEvent(event)), *rest),
        order_from(row[_DEAL_WIDTH + 1 :]),
        tuple(Posting(PostingKind(kind), amount, after) for kind, amount, after in posted),
        row[_DEAL_WIDTH],
    )


def _reason(text: str, event: DealEvent) -> OrderType | CloseReason | CancelReason:
    """Read the reason of a deal; a correction has that of the deal it reverses."""
    if event is DealEvent.CANCEL:
        return CancelReason(text)
    if text in OrderType.__members__:
        return OrderType(text)
    return CloseReason(text)
