"""What a decision says, in plain terms: the form in which engine and oracle are compared."""

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from service.domain.decision import Deal, Decision
from service.domain.order import OrderState
from tests.property.valuation import PlainOrder

MARGIN_WITHIN = Fraction(1, 10**12)

Posted = tuple[str, Fraction, Fraction]
"""Kind, amount and balance after of a ledger entry."""


class PlainDeal(NamedTuple):
    """A deal with prices and money as fractions."""

    event: str
    reason: str
    volume: int | None
    price: Fraction | None
    slippage: int | None
    profit: Fraction
    commission: Fraction
    balance_after: Fraction
    sell: Fraction | None
    buy: Fraction | None
    time: int
    corrects: int | None


class PlainTerms(NamedTuple):
    """An order as it stood after a decision, but for its margin. Prices and money as fractions."""

    volume: int
    price: Fraction | None
    stop_loss: Fraction | None
    take_profit: Fraction | None
    limit_price: Fraction | None
    trailing: Fraction | None
    expires_at: int | None
    activated_time: int | None
    open_price: Fraction | None
    open_time: int | None
    commission: Fraction | None
    profit: Fraction | None
    swap: Fraction | None
    swapped_until: int | None


class Fact(NamedTuple):
    """A decision with prices and money as fractions; of an account alone, or of an order too."""

    kind: str
    time: int
    tick: int
    account_id: int
    sequence: int
    balance: Fraction
    in_margin_call: bool
    postings: tuple[Posted, ...]
    margin: Fraction
    order_id: int | None = None
    status: str | None = None
    expected: str | None = None
    order: PlainTerms | None = None
    deal: PlainDeal | None = None
    order_margin: Fraction | None = None


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


def plain_terms(order: PlainOrder) -> PlainTerms:
    """Return an order of the oracle as it stands."""
    return PlainTerms(
        order.volume,
        order.price,
        order.stop_loss,
        order.take_profit,
        order.limit_price,
        order.trailing,
        order.expires_at,
        order.activated_time,
        order.open_price,
        order.open_time,
        order.commission,
        order.profit,
        order.swap,
        order.swapped_until,
    )


def fact_of(decision: Decision, digits: dict[str, int]) -> Fact:
    """Return what the engine decided as a fact; `digits` by symbol."""
    order, account = decision.order, decision.account
    fact = Fact(
        decision.kind.value,
        decision.time,
        decision.tick,
        account.account_id,
        account.sequence,
        Fraction(account.balance),
        account.in_margin_call,
        tuple(
            (entry.kind.value, Fraction(entry.amount), Fraction(entry.balance_after))
            for entry in decision.postings
        ),
        Fraction(account.margin),
    )
    if order is None:
        return fact
    scale = 10 ** digits[order.symbol]
    return fact._replace(
        order_id=order.order_id,
        status=order.status.value,
        expected=None if decision.expected is None else decision.expected.value,
        order=_terms(order, scale),
        deal=None if decision.deal is None else _deal(decision.deal, scale),
        order_margin=_money(order.margin),
    )


def _terms(order: OrderState, scale: int) -> PlainTerms:
    return PlainTerms(
        order.volume,
        _price(order.price, scale),
        _price(order.stop_loss, scale),
        _price(order.take_profit, scale),
        _price(order.limit_price, scale),
        _price(order.trailing_distance, scale),
        order.expires_at,
        order.activated_time,
        _price(order.open_price, scale),
        order.open_time,
        _money(order.commission),
        _money(order.profit),
        _money(order.swap),
        order.swapped_until,
    )


def _deal(deal: Deal, scale: int) -> PlainDeal:
    return PlainDeal(
        deal.event.value,
        deal.reason.value,
        deal.volume,
        _price(deal.price, scale),
        deal.slippage,
        Fraction(deal.profit),
        Fraction(deal.commission),
        Fraction(deal.balance_after),
        _price(deal.group_sell, scale),
        _price(deal.group_buy, scale),
        deal.time,
        deal.corrects,
    )


def _price(points: int | None, scale: int) -> Fraction | None:
    return None if points is None else Fraction(points, scale)


def _money(amount: Decimal | None) -> Fraction | None:
    return None if amount is None else Fraction(amount)
