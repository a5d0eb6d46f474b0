"""Deal corrections: a deal taken back with its ledger entries, to the cent."""

from decimal import Decimal

import pytest

from service.domain.corrections import CorrectDeal
from service.domain.decision import Audit, Decision
from service.domain.order import OrderStatus, OrderType
from service.domain.rejection import RejectCode, Rejected
from tests.unit.domain.floor import LOT, Floor, deal_of, kinds, order_of, posted

BUY = OrderType.BUY
AUDIT = Audit("ann", "correct", "deal", "bad tick")


def traded() -> Floor:
    """Return a floor where a lot costs 3.50 a deal."""
    floor = Floor()
    floor.set_terms("market", "EURUSD", commission=Decimal("3.5"))
    floor.tick("EURUSD", 110_000, 110_000)
    return floor


def correct(floor: Floor, made: Decision, last: Decision | None = None) -> Decision:
    """Take the deal of a decision back; `last` is what was stored of its order last."""
    stored = order_of(made if last is None else last)
    command = CorrectDeal(made.decision_id, deal_of(made), stored, made.postings)
    return floor.commands.correct(command, floor.now, "key", AUDIT)


def test_a_close_on_a_bad_tick_is_taken_back_and_the_position_goes_on() -> None:
    floor = traded()
    opened = floor.place(BUY, None, 109_000, 111_000, trailing_distance=2_000)
    floor.modify(order_of(opened).order_id, stop_loss=109_000)
    (closed,) = floor.tick("EURUSD", 105_000, 105_000)
    assert closed.account.balance == Decimal("994993.00")
    corrected = correct(floor, closed)
    deal, state = deal_of(corrected), order_of(corrected)
    assert kinds([corrected]) == ["CORRECTED STOP_LOSS"]
    assert posted(corrected) == [("CORRECTION", "5000.00"), ("CORRECTION", "3.50")]
    assert (deal.event, deal.corrects) == ("CORRECTION", closed.decision_id)
    assert (deal.profit, deal.commission) == (Decimal(5000), Decimal("-3.50"))
    assert (deal.volume, deal.price, deal.time) == (LOT, 105_000, floor.now)
    assert (corrected.expected, corrected.key, corrected.audit) == ("CLOSED", "key", AUDIT)
    assert corrected.account.balance == Decimal("999996.50")
    assert corrected.account.margin == 1100
    before = order_of(opened)
    assert state._replace(stop_loss_trigger=None, take_profit_trigger=None) == before._replace(
        stop_loss=109_000, stop_loss_trigger=None, take_profit_trigger=None
    )
    assert floor.engine.judge_order(state.order_id) is None
    (again,) = floor.tick("EURUSD", 111_000, 111_000)
    assert kinds([again]) == ["CLOSED TAKE_PROFIT"]
    assert again.account.balance == 1_000_000 - 7 + 1000


def test_a_part_that_was_closed_joins_the_rest_again() -> None:
    floor = traded()
    order = order_of(floor.place(BUY, volume=4 * LOT)).order_id
    floor.tick("EURUSD", 109_000, 109_000)
    part = floor.close_part(order, volume=LOT)
    assert part.account.margin == 3300
    corrected = correct(floor, part)
    state = order_of(corrected)
    assert posted(corrected) == [("CORRECTION", "1000.00"), ("CORRECTION", "3.50")]
    assert (state.status, state.volume) == (OrderStatus.OPEN, 4 * LOT)
    assert (state.margin, corrected.account.margin) == (Decimal(4400), Decimal(4400))
    assert (state.profit, state.commission) == (None, Decimal("14.00"))
    assert floor.close(order).profit == -4000


def test_an_opening_is_taken_back_with_its_commission() -> None:
    floor = traded()
    opened = floor.place(BUY, None, 109_000)
    floor.tick("EURUSD", 109_500, 109_500)
    corrected = correct(floor, opened)
    state = order_of(corrected)
    assert posted(corrected) == [("CORRECTION", "3.50")]
    assert (state.status, state.reason) == (OrderStatus.CANCELLED, "CORRECTED")
    assert (corrected.expected, corrected.account.margin) == (OrderStatus.OPEN, Decimal(0))
    assert corrected.account.balance == 1_000_000
    assert floor.tick("EURUSD", 108_000, 108_000) == []


def test_a_balance_that_was_reset_is_negative_again() -> None:
    floor = Floor()
    floor.set_group(negative_balance_protection=True)
    floor.add_account(3, balance="1200")
    floor.tick("EURUSD", 110_000, 110_000)
    floor.place(BUY, None, 109_500, account=3)
    (closed,) = floor.tick("EURUSD", 100_000, 100_000)
    assert closed.account.balance == 0
    corrected = correct(floor, closed)
    assert posted(corrected) == [("CORRECTION", "10000.00"), ("CORRECTION", "-8800.00")]
    assert corrected.account.balance == 1200


def test_what_cannot_be_taken_back() -> None:
    floor = traded()
    opened = floor.place(BUY, volume=2 * LOT)
    order = order_of(opened).order_id
    part = floor.close_part(order, volume=LOT)
    pending = order_of(floor.place(OrderType.BUY_LIMIT, 100_000)).order_id
    cancelled = floor.commands.cancel(1, pending, floor.now)
    closed = floor.close_part(order)
    corrected = correct(floor, closed)
    for made, last in (
        (opened, corrected),  # a part of it is closed
        (cancelled, None),
        (corrected, None),
        (closed, corrected),  # taken back already
    ):
        with pytest.raises(Rejected) as refused:
            correct(floor, made, last)
        assert refused.value.code is RejectCode.DEAL_NOT_CORRECTABLE
    correct(floor, part, corrected)
    assert posted(correct(floor, opened, corrected)) == [("CORRECTION", "7.00")]


def test_a_part_of_a_closed_order_waits_for_the_order_to_be_open() -> None:
    floor = traded()
    order = order_of(floor.place(BUY, volume=2 * LOT)).order_id
    part = floor.close_part(order, volume=LOT)
    closed = floor.close_part(order)
    with pytest.raises(Rejected) as refused:
        correct(floor, part, closed)
    assert refused.value.code is RejectCode.DEAL_NOT_CORRECTABLE
    reopened = correct(floor, closed)
    assert order_of(correct(floor, part, reopened)).volume == 2 * LOT


@pytest.mark.parametrize("volume", [None, LOT])
def test_a_deal_that_is_being_taken_back_is_not_taken_back_again(volume: int | None) -> None:
    floor = traded()
    order = order_of(floor.place(BUY, volume=2 * LOT)).order_id
    closed = floor.close_part(order, volume=volume)
    correct(floor, closed)
    balance = floor.desk.accounts[1].balance
    with pytest.raises(Rejected) as refused:
        correct(floor, closed)  # as stored before the first one was
    assert refused.value.code is RejectCode.DEAL_NOT_CORRECTABLE
    assert floor.desk.accounts[1].balance == balance
    assert floor.desk.orders[order].volume == 2 * LOT
    assert floor.desk.open_positions == 1
