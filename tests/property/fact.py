"""What a decision says, in plain terms: the form in which engine and oracle are compared."""

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from service.domain.decision import Deal, Decision

MARGIN_WITHIN = Fraction(1, 10**12)

Posted = tuple[str, Fraction, Fraction]
"""Kind, amount and balance after of a ledger entry."""

PlainDeal = tuple[
    str,
    str | None,
    int | None,
    Fraction | None,
    int | None,
    Fraction,
    Fraction,
    Fraction,
    Fraction | None,
    Fraction | None,
    int,
]
"""Event, reason, volume, price, slippage, profit, commission, balance after, sell, buy, time."""


class Fact(NamedTuple):
    """A decision with prices and money as fractions. `terms` are volume, price, SL and TP."""

    kind: str
    time: int
    tick: int
    account_id: int
    sequence: int
    balance: Fraction
    order_id: int | None
    status: str | None
    expected: str | None
    terms: tuple[int, Fraction | None, Fraction | None, Fraction | None] | None
    filled: tuple[Fraction | None, Fraction | None] | None
    deal: PlainDeal | None
    postings: tuple[Posted, ...]
    margin: Fraction
    order_margin: Fraction | None


def agree(one: Fact, other: Fact) -> bool:
    """Tell whether two facts are the same, margins to within 1e-12 USD."""
    if one._replace(margin=other.margin, order_margin=other.order_margin) != other:
        return False
    if (one.order_margin is None) != (other.order_margin is None):
        return False
    if abs(one.margin - other.margin) > MARGIN_WITHIN:
        return False
    if one.order_margin is None or other.order_margin is None:
        return True
    return abs(one.order_margin - other.order_margin) <= MARGIN_WITHIN


def fact_of(decision: Decision, digits: dict[str, int]) -> Fact:
    """Return what the engine decided as a fact; `digits` by symbol."""
    order, account = decision.order, decision.account
    postings = tuple(
        (entry.kind.value, Fraction(entry.amount), Fraction(entry.balance_after))
        for entry in decision.postings
    )
    common = (
        decision.kind.value,
        decision.time,
        decision.tick,
        account.account_id,
        account.sequence,
        Fraction(account.balance),
    )
    margin = Fraction(account.margin)
    if order is None:
        return Fact(*common, None, None, None, None, None, None, postings, margin, None)
    scale = 10 ** digits[order.symbol]

    def price(points: int | None) -> Fraction | None:
        return None if points is None else Fraction(points, scale)

    return Fact(
        *common,
        order.order_id,
        order.status.value,
        None if decision.expected is None else decision.expected.value,
        (order.volume, price(order.price), price(order.stop_loss), price(order.take_profit)),
        (price(order.open_price), _fraction(order.commission)),
        None if decision.deal is None else _plain_deal(decision.deal, scale),
        postings,
        margin,
        _fraction(order.margin),
    )


def _plain_deal(deal: Deal, scale: int) -> PlainDeal:
    def price(points: int | None) -> Fraction | None:
        return None if points is None else Fraction(points, scale)

    return (
        deal.event.value,
        deal.reason.value,
        deal.volume,
        price(deal.price),
        deal.slippage,
        Fraction(deal.profit),
        Fraction(deal.commission),
        Fraction(deal.balance_after),
        price(deal.group_sell),
        price(deal.group_buy),
        deal.time,
    )


def _fraction(amount: Decimal | None) -> Fraction | None:
    return None if amount is None else Fraction(amount)
