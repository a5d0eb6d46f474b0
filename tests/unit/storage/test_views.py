"""What traders are shown of orders, deals and accounts, and what is read back of it."""

from dataclasses import dataclass
from decimal import Decimal

import msgspec
import pytest

from service.domain.decision import (
    AccountState,
    Deal,
    DealEvent,
    Decision,
    EventKind,
)
from service.domain.instrument import InstrumentType, Symbol
from service.domain.order import CancelReason, CloseReason, OrderState, OrderStatus, OrderType
from service.storage.views import (
    AccountView,
    DealView,
    EventView,
    OrderView,
    event_view,
    order_state,
    order_view,
)
from tests.unit.storage.decisions import TIME, state_of

YEN = Symbol("USDJPY", 3, Decimal(100_000), "USD", "JPY", InstrumentType.FOREX, 100, 1_000_000, 100)
STOP_LIMIT = OrderState(
    7,
    17,
    "mine",
    "USDJPY",
    OrderType.BUY_STOP_LIMIT,
    OrderStatus.PENDING,
    12_345,
    151_500,
    151_000,
    152_000,
    None,
    None,
    None,
    TIME,
    None,
    None,
    None,
    None,
    None,
    None,
    None,
    None,
    None,
    151_400,
    TIME + 5_000_000,
    250,
    TIME + 3_600_000_000_000,
    None,
    None,
)
OPEN = STOP_LIMIT._replace(
    status=OrderStatus.OPEN,
    open_price=151_399,
    open_time=TIME + 7_000_000,
    margin=Decimal("1234.5"),
    commission=Decimal("8.64"),
    profit=Decimal("-12.30"),
    swap=Decimal("-1.05"),
    expires_at=None,
)


def test_an_order_is_shown_with_all_that_was_asked_and_charged() -> None:
    view = order_view(STOP_LIMIT, YEN)
    assert (view.type, view.volume) == (OrderType.BUY_STOP_LIMIT, "1.2345")
    assert (view.price, view.limit_price) == ("151.500", "151.400")
    assert view.activated_at == "2023-11-14T22:13:20.005Z"
    assert view.trailing_distance_points == 250
    assert view.expires_at == "2023-11-14T23:13:20.000Z"
    assert (view.profit, view.swap) == (None, None)
    opened = order_view(OPEN, YEN)
    assert (opened.profit, opened.swap, opened.expires_at) == ("-12.30", "-1.05", None)


@pytest.mark.parametrize("state", [STOP_LIMIT, OPEN])
def test_a_live_order_is_read_back_as_it_was(state: OrderState) -> None:
    view = msgspec.json.decode(msgspec.json.encode(order_view(state, YEN)), type=OrderView)
    assert order_state(view, YEN) == state


@dataclass
class _Case:
    shape: type[msgspec.Struct]
    stored: dict[str, object]
    lacking: dict[str, object]


def test_what_was_stored_before_a_field_was_known_is_still_read() -> None:
    """Outbox, answers to keys and cache keep what an earlier version wrote."""
    order = msgspec.to_builtins(order_view(state_of(1, 1, OrderStatus.OPEN), YEN))
    new = ("limit_price", "activated_at", "trailing_distance_points", "expires_at", "swap")
    for case in (
        _Case(OrderView, order, dict.fromkeys(new)),
        _Case(
            AccountView,
            msgspec.to_builtins(
                AccountView(
                    account_id=1,
                    user_type="live",  # type: ignore[arg-type]
                    group="gold",
                    leverage="30",
                    balance="1.00",
                    margin="0",
                    sequence=3,
                )
            ),
            {"in_margin_call": False},
        ),
        _Case(
            EventView,
            {
                "account_id": 1,
                "sequence": 2,
                "kind": "DEPOSITED",
                "balance": "1.00",
                "margin": "0",
                "order": None,
                "deal": None,
            },
            {"in_margin_call": False},
        ),
        _Case(
            DealView,
            {
                "deal_id": 1,
                "order_id": 2,
                "symbol": "USDJPY",
                "event": "CANCEL",
                "reason": "CLIENT",
                "volume": None,
                "price": None,
                "slippage_points": None,
                "profit": "0.00",
                "commission": "0.00",
                "balance_after": "1.00",
                "time": "2023-11-14T22:13:20.005Z",
            },
            {"corrects": None},
        ),
    ):
        stored = {name: value for name, value in case.stored.items() if name not in case.lacking}
        view = msgspec.convert(stored, case.shape)
        assert {name: getattr(view, name) for name in case.lacking} == case.lacking


def test_an_event_of_the_account_alone_tells_of_its_margin_call() -> None:
    account = AccountState(17, 9, Decimal("10.00"), Decimal("99.5"), in_margin_call=True)
    decision = Decision(5, 3, TIME, EventKind.MARGIN_CALLED, account, None, None, None, (), None)
    assert event_view(decision, {}) == EventView(
        17, 9, EventKind.MARGIN_CALLED, "10.00", "99.5", None, None, in_margin_call=True
    )


def test_a_correction_names_the_deal_it_reverses() -> None:
    state = OPEN._replace(status=OrderStatus.CANCELLED, reason=CancelReason.CORRECTED)
    account = AccountState(17, 9, Decimal("10.00"), Decimal(0))
    deal = Deal(
        DealEvent.CORRECTION,
        CloseReason.STOP_LOSS,
        100,
        151_000,
        0,
        Decimal("3.00"),
        Decimal("-0.50"),
        Decimal("10.00"),
        None,
        None,
        TIME,
        41,
    )
    decision = Decision(
        55, 3, TIME, EventKind.CORRECTED, account, state, OrderStatus.OPEN, deal, (), None
    )
    view = event_view(decision, {"USDJPY": YEN})
    assert view.deal is not None
    assert (view.deal.deal_id, view.deal.corrects, view.deal.event) == (55, 41, "CORRECTION")
    assert (view.deal.profit, view.deal.commission) == ("3.00", "-0.50")
    assert view.order is not None
    assert view.order.reason == "CORRECTED"
