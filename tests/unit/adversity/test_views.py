"""What a client may not be told: gaps, repetitions, anything but what is stored."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from tests.adversity.views import State, View, stored_payload, told_faults

ACCOUNT = 7
FIRST = {ACCOUNT: State("100.00", "0", {})}


def order(order_id: int, status: str = "PENDING") -> dict[str, Any]:
    return {"order_id": order_id, "status": status}


def event(sequence: int, balance: str = "100.00", of: Any = None) -> dict[str, Any]:
    return {
        "account_id": ACCOUNT,
        "sequence": sequence,
        "balance": balance,
        "margin": "0",
        "order": of,
    }


EVENTS = [event(1, of=order(1)), event(2, "110.00"), event(3, "110.00", order(1, "CANCELLED"))]
OUTBOX = [(ACCOUNT, each["sequence"], msgspec.json.encode(each).decode()) for each in EVENTS]


def snapshot(sequence: int, balance: str = "100.00", *orders: Any) -> dict[str, Any]:
    account = {"balance": balance, "margin": "0"}
    return {
        "account_id": ACCOUNT,
        "sequence": sequence,
        "account": account,
        "orders": list(orders),
    }


def hear(view: View, *events: Mapping[str, Any]) -> None:
    for each in events:
        view.hear(each, msgspec.json.encode(each))


def told(*views: View) -> list[str]:
    return told_faults(views, OUTBOX, FIRST)


def test_a_client_that_was_told_everything_agrees_with_what_is_stored() -> None:
    view = View(ACCOUNT)
    view.show(snapshot(0))
    hear(view, *EVENTS)
    assert told(view) == []


def test_after_a_new_socket_it_goes_on_from_a_snapshot() -> None:
    view = View(ACCOUNT)
    view.show(snapshot(0))
    hear(view, EVENTS[0])
    view.lost()
    view.show(snapshot(2, "110.00", order(1)))
    hear(view, EVENTS[2])
    assert told(view) == []
    assert view.went_back == 0


def test_a_snapshot_from_before_what_was_told_is_counted_and_goes_on() -> None:
    view = View(ACCOUNT)
    view.show(snapshot(0))
    hear(view, *EVENTS[:2])
    view.lost()
    view.show(snapshot(1, "100.00", order(1)))
    hear(view, *EVENTS[1:])
    assert told(view) == []
    assert view.went_back == 1


@pytest.mark.parametrize(
    ("numbers", "found"), [((0, 2), "a gap"), ((0, 0), "told twice"), ((1,), "a gap")]
)
def test_a_gap_and_a_repetition_are_found(numbers: tuple[int, ...], found: str) -> None:
    view = View(ACCOUNT)
    view.show(snapshot(0))
    hear(view, *(EVENTS[number] for number in numbers))
    assert any(found in fault for fault in told(view))


def test_an_event_without_a_snapshot_is_found() -> None:
    view = View(ACCOUNT)
    view.show(snapshot(0))
    view.lost()
    hear(view, *EVENTS)
    assert any("before a snapshot" in fault for fault in told(view))


def test_a_second_snapshot_on_a_socket_is_found() -> None:
    view = View(ACCOUNT)
    view.show(snapshot(0))
    view.show(snapshot(0))
    hear(view, *EVENTS)
    assert any("a second snapshot" in fault for fault in told(view))


def test_an_event_that_is_not_stored_is_found() -> None:
    view = View(ACCOUNT)
    view.show(snapshot(0))
    hear(view, *EVENTS, event(4))
    faults = told(view)
    assert any("event 4 was told and is not what is stored" in fault for fault in faults)
    assert any("is at 4 in the end, stored are 3" in fault for fault in faults)


def test_an_event_that_is_stored_otherwise_is_found() -> None:
    view = View(ACCOUNT)
    view.show(snapshot(0))
    hear(view, EVENTS[0], event(2, "111.00"), EVENTS[2])
    assert any("event 2 was told" in fault for fault in told(view))


def test_an_event_told_in_two_ways_is_found() -> None:
    view = View(ACCOUNT)
    view.show(snapshot(0))
    hear(view, EVENTS[0])
    view.lost()
    view.show(snapshot(0))
    hear(view, event(1, "111.00"), *EVENTS[1:])
    assert any("in two ways" in fault for fault in told(view))


def test_a_client_that_has_stayed_behind_is_found() -> None:
    view = View(ACCOUNT)
    view.show(snapshot(0))
    hear(view, *EVENTS[:2])
    assert told(view) == ["stream of account 7: is at 2 in the end, stored are 3"]


@pytest.mark.parametrize(
    "wrong",
    [
        snapshot(2, "100.00", order(1)),
        snapshot(2, "110.00"),
        snapshot(2, "110.00", order(1), order(2)),
        snapshot(9),
    ],
)
def test_a_snapshot_that_is_not_what_its_events_make_is_found(wrong: Mapping[str, Any]) -> None:
    view = View(ACCOUNT)
    view.show(snapshot(0))
    hear(view, *EVENTS)
    view.lost()
    view.show(wrong)
    view.lost()
    view.show(snapshot(3, "110.00"))
    assert len(told(view)) == 1


def test_an_event_is_stored_as_it_is_told_but_for_the_type() -> None:
    assert stored_payload(b'{"type":"order","account_id":7}') == b'{"account_id":7}'
