"""What the engine decides: immutable facts for the writer to store and the gateway to tell.

A decision is complete: the state of its order and account after it, the status the stored order
must have for it to apply, its deal and its ledger postings. `balance` of an account before a
decision is its balance after it less the decision's postings.
"""

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from service.domain.order import CancelReason, CloseReason, OrderState, OrderStatus, OrderType


class DealEvent(StrEnum):
    OPEN = "OPEN"
    CLOSE = "CLOSE"
    CANCEL = "CANCEL"
    PARTIAL_CLOSE = "PARTIAL_CLOSE"
    CORRECTION = "CORRECTION"


class PostingKind(StrEnum):
    PROFIT = "PROFIT"
    COMMISSION = "COMMISSION"
    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"
    SWAP = "SWAP"
    NEGATIVE_BALANCE = "NEGATIVE_BALANCE"
    CORRECTION = "CORRECTION"


class EventKind(StrEnum):
    """What a trader is told has happened to the order or the account."""

    PLACED = "PLACED"
    MODIFIED = "MODIFIED"
    ACTIVATED = "ACTIVATED"
    TRAILED = "TRAILED"
    OPENED = "OPENED"
    PARTIALLY_CLOSED = "PARTIALLY_CLOSED"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"
    SWAP_CHARGED = "SWAP_CHARGED"
    CORRECTED = "CORRECTED"
    DEPOSITED = "DEPOSITED"
    WITHDRAWN = "WITHDRAWN"
    MARGIN_CALLED = "MARGIN_CALLED"
    MARGIN_RESTORED = "MARGIN_RESTORED"


class Posting(NamedTuple):
    """A ledger entry in USD, rounded to cents; the ledger of an account sums to its balance."""

    kind: PostingKind
    amount: Decimal
    balance_after: Decimal


class Deal(NamedTuple):
    """An opening, a closing of all or a part, a cancellation, or the correction of a deal.

    Attributes:
        reason: for OPEN the order type, else why it was closed or cancelled. A correction has the
            reason, volume and prices of the deal it reverses, and its profit and commission
            negated.
        volume: 1/10,000 lot; None when cancelled, like `price` (points) and `slippage`.
        slippage: points, positive is worse for the client, 0 without a requested price.
        profit, commission: gross profit and this deal's own charge, USD.
        group_sell, group_buy: the group price of the tick, points.
        time: the tick's time, ns UTC (of the command where no tick is involved).
        corrects: the deal that this one reverses.
    """

    event: DealEvent
    reason: OrderType | CloseReason | CancelReason
    volume: int | None
    price: int | None
    slippage: int | None
    profit: Decimal
    commission: Decimal
    balance_after: Decimal
    group_sell: int | None
    group_buy: int | None
    time: int
    corrects: int | None = None


class AccountState(NamedTuple):
    """An account after a decision. `sequence` numbers what happens to it, without gaps.

    `in_margin_call`: its margin level fell below the group's, and has not recovered since.
    """

    account_id: int
    sequence: int
    balance: Decimal
    margin: Decimal
    in_margin_call: bool = False


class Audit(NamedTuple):
    """Who had something done and why: kept with what was done, in the same transaction."""

    actor: str
    action: str
    target: str
    reason: str


class Decision(NamedTuple):
    """One thing decided. `decision_id` rises within a shard; `tick` counts the quotes seen.

    Attributes:
        expected: status the stored order must have; None: the order is new.
        key: idempotency key of the command that caused it, None for a trigger.
        audit: of an administrator's command that deals for others.
    """

    decision_id: int
    tick: int
    time: int
    kind: EventKind
    account: AccountState
    order: OrderState | None
    expected: OrderStatus | None
    deal: Deal | None
    postings: tuple[Posting, ...]
    key: str | None
    audit: Audit | None = None
