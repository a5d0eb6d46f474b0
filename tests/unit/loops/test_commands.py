"""Commands as data: they arrive as they were sent, and do what the desk does."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from service.domain.decision import Audit, Decision, EventKind
from service.domain.order import OrderStatus, OrderType
from service.domain.rejection import RejectCode, Rejected
from service.loops.commands import (
    Cancel,
    Close,
    Command,
    Correct,
    Fund,
    Modify,
    Place,
    decide,
    decode_command,
    encode_command,
)
from service.storage.audit import AuditAction
from service.storage.dealt import Dealt
from tests.unit.domain.floor import LOT, Floor

IDS = st.integers(1, 2**63 - 1)
DECIMALS = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=10
)
TEXTS = st.text(max_size=64)
AUDITS = st.builds(Audit, TEXTS, st.sampled_from(AuditAction), TEXTS, TEXTS)
DISTANCES = st.integers(1, 10**15)
TIMES = st.integers(0, 2**62)


def changes(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just(UNSET) | st.none() | values


COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        Place,
        symbol=TEXTS,
        order_type=st.sampled_from(OrderType),
        volume=DECIMALS,
        price=st.none() | DECIMALS,
        stop_loss=st.none() | DECIMALS,
        take_profit=st.none() | DECIMALS,
        client_order_id=st.none() | TEXTS,
        limit_price=st.none() | DECIMALS,
        trailing_distance=st.none() | DISTANCES,
        expires_at=st.none() | TIMES,
    ),
    st.builds(
        Modify,
        order_id=IDS,
        price=changes(DECIMALS),
        volume=changes(DECIMALS),
        stop_loss=changes(DECIMALS),
        take_profit=changes(DECIMALS),
        limit_price=changes(DECIMALS),
        trailing_distance=changes(DISTANCES),
        expires_at=changes(TIMES),
    ),
    st.builds(Cancel, IDS),
    st.builds(Close, IDS, st.none() | DECIMALS),
    st.builds(Fund, DECIMALS, AUDITS),
    st.builds(Correct, IDS, AUDITS),
)
AUDIT = Audit("admin", AuditAction.DEPOSIT, "account 1", "")


@given(COMMANDS)
def test_a_command_arrives_as_it_was_sent(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@given(COMMANDS)
def test_what_is_left_out_of_a_change_stays_out_and_none_stays_none(command: Command) -> None:
    arrived = decode_command(encode_command(command))
    for name in command.__struct_fields__:
        sent, come = getattr(command, name), getattr(arrived, name)
        assert type(come) is type(sent) or isinstance(sent, AuditAction)


def test_what_is_no_command_is_refused() -> None:
    for message in (
        {"do": "drop"},
        {"order_id": 1},
        {"do": "cancel"},
        {"do": "cancel", "order_id": "1"},
    ):
        with pytest.raises(msgspec.ValidationError):
            decode_command(msgspec.msgpack.encode(message))


@pytest.fixture
def floor() -> Floor:
    floor = Floor()
    floor.tick("EURUSD", 108_490, 108_500)
    return floor


def run(
    floor: Floor, command: Command, account_id: int = 1, dealt: Dealt | None = None
) -> Decision:
    """Decide a command as it arrives."""
    arrived = decode_command(encode_command(command))
    return decide(arrived, account_id, dealt, floor.commands, floor.now)


def place(**changes: Any) -> Place:
    given: dict[str, Any] = {
        "symbol": "EURUSD",
        "order_type": OrderType.BUY_LIMIT,
        "volume": Decimal("0.5"),
        "price": Decimal("1.08"),
    }
    return Place(**given | changes)


def test_prices_are_taken_in_points_and_lots_in_units(floor: Floor) -> None:
    order = run(floor, place(stop_loss=Decimal("1.07"), expires_at=2 * floor.now)).order
    assert order is not None
    assert (order.price, order.stop_loss, order.take_profit) == (108_000, 107_000, None)
    assert (order.volume, order.expires_at) == (LOT // 2, 2 * floor.now)


def test_a_change_leaves_what_it_does_not_name(floor: Floor) -> None:
    placed = run(floor, place(stop_loss=Decimal("1.07"), take_profit=Decimal("1.09"))).order
    assert placed is not None
    changed = run(floor, Modify(order_id=placed.order_id, stop_loss=None, volume=Decimal(1))).order
    assert changed == placed._replace(stop_loss=None, stop_loss_trigger=None, volume=LOT)


def test_orders_are_closed_in_part_whole_and_cancelled(floor: Floor) -> None:
    opened = run(floor, place(order_type=OrderType.BUY, price=None)).order
    resting = run(floor, place()).order
    assert opened is not None
    assert resting is not None
    part = run(floor, Close(opened.order_id, Decimal("0.1")))
    assert part.kind is EventKind.PARTIALLY_CLOSED
    assert run(floor, Close(opened.order_id)).kind is EventKind.CLOSED
    cancelled = run(floor, Cancel(resting.order_id)).order
    assert cancelled is not None
    assert cancelled.status is OrderStatus.CANCELLED


def test_funding_is_audited(floor: Floor) -> None:
    decision = run(floor, Fund(Decimal("-10.50"), AUDIT))
    assert (decision.kind, decision.audit) == (EventKind.WITHDRAWN, AUDIT)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (place(symbol="nothing"), RejectCode.UNKNOWN_SYMBOL),
        (place(price=Decimal("1.080001")), RejectCode.INVALID_PRICE),
        (place(stop_loss=Decimal("1.070001")), RejectCode.INVALID_STOP_LOSS),
        (place(volume=Decimal("0.00001")), RejectCode.INVALID_VOLUME),
        (Modify(order_id=9, price=Decimal(1)), RejectCode.ORDER_NOT_FOUND),
        (Close(9, Decimal(1)), RejectCode.ORDER_NOT_FOUND),
        (Correct(9, AUDIT), RejectCode.DEAL_NOT_FOUND),
    ],
)
def test_what_cannot_be_is_refused(floor: Floor, command: Command, code: RejectCode) -> None:
    with pytest.raises(Rejected) as refused:
        run(floor, command)
    assert refused.value.code is code


def test_nobody_changes_the_orders_of_another_account(floor: Floor) -> None:
    order = run(floor, place()).order
    assert order is not None
    for command in (Modify(order_id=order.order_id, stop_loss=None), Cancel(order.order_id)):
        with pytest.raises(Rejected) as refused:
            run(floor, command, account_id=2)
        assert refused.value.code is RejectCode.ORDER_NOT_FOUND
