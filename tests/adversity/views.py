"""What a client knows of an account by its stream, and what may not be in it.

A snapshot, then every event after its sequence, one by one. What was told is kept, to be held
against the outbox in the end: `told_faults`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

LIVE = frozenset({"PENDING", "OPEN"})
MAX_TOLD = 20


class State(NamedTuple):
    """An account after an event: what it has, and its live orders by id."""

    balance: str
    margin: str
    orders: Mapping[int, Any]


class Told(NamedTuple):
    """A snapshot that a client was told."""

    account_id: int
    sequence: int
    state: State


class View:
    """One account, on one socket after the other."""

    def __init__(self, account_id: int) -> None:
        self.account_id = account_id
        self.sequence = -1
        self.orders: dict[int, Any] = {}
        self.balance = self.margin = ""
        self.events: dict[int, bytes] = {}
        self.snapshots: list[Told] = []
        self.went_back = 0
        self.faults: list[str] = []
        self._is_current = False

    @property
    def state(self) -> State:
        return State(self.balance, self.margin, dict(self.orders))

    def lost(self) -> None:
        """Take that the socket is gone: only a snapshot tells how it goes on."""
        self._is_current = False

    def show(self, message: Mapping[str, Any]) -> None:
        """Take a snapshot; one of each account begins a socket."""
        sequence = message["sequence"]
        if self._is_current:
            self._fault(f"a second snapshot, of {sequence}, on one socket")
        self.went_back += sequence < self.sequence
        self.sequence, self._is_current = sequence, True
        self.orders = {each["order_id"]: each for each in message["orders"]}
        self.balance, self.margin = message["account"]["balance"], message["account"]["margin"]
        self.snapshots.append(Told(self.account_id, sequence, self.state))

    def hear(self, event: Mapping[str, Any], payload: bytes) -> None:
        """Take an event; `payload` is it as it was stored."""
        sequence = event["sequence"]
        if not self._is_current:
            self._fault(f"event {sequence} before a snapshot")
        elif sequence != self.sequence + 1:
            kind = "a gap" if sequence > self.sequence else "told twice"
            self._fault(f"event {sequence} after {self.sequence}: {kind}")
        before = self.events.setdefault(sequence, payload)
        if before != payload:
            self._fault(f"event {sequence} was told in two ways")
        self.sequence = sequence
        take(self.orders, event)
        self.balance, self.margin = event["balance"], event["margin"]

    def _fault(self, what: str) -> None:
        if len(self.faults) < MAX_TOLD:
            self.faults.append(f"stream of account {self.account_id}: {what}")


def take(orders: dict[int, Any], event: Mapping[str, Any]) -> None:
    """Follow an event in an account's live orders."""
    order = event["order"]
    if order is None:
        return
    if order["status"] in LIVE:
        orders[order["order_id"]] = order
    else:
        orders.pop(order["order_id"], None)


def stored_payload(message: bytes) -> bytes:
    """Return an event's message as it is in the outbox: without its type."""
    return b"{" + message.partition(b",")[2]


def told_faults(
    views: Iterable[View], outbox: Iterable[tuple[int, int, str]], first: Mapping[int, State]
) -> list[str]:
    """Return where clients were told something else than what is stored.

    Args:
        views: all of them, several of an account if so many listened; in the end.
        outbox: account, sequence and payload of every event, by account and sequence.
        first: the accounts before their first event.
    """
    faults = []
    asked: dict[int, list[View]] = {}
    for view in views:
        asked.setdefault(view.account_id, []).append(view)
        faults += view.faults
    events: dict[int, list[tuple[int, str]]] = {account_id: [] for account_id in asked}
    for account_id, sequence, payload in outbox:
        if account_id in events:
            events[account_id].append((sequence, payload))
    for account_id, mine in asked.items():
        for view in mine:
            faults += _of_view(view, events[account_id], first[account_id])
    return faults


def _of_view(view: View, events: list[tuple[int, str]], first: State) -> list[str]:
    faults = []
    where = f"stream of account {view.account_id}"
    stored = {sequence: payload.encode() for sequence, payload in events}
    for sequence, heard in view.events.items():
        if stored.get(sequence) != heard:
            faults.append(f"{where}: event {sequence} was told and is not what is stored")
    last = events[-1][0] if events else 0
    if view.sequence != last:
        faults.append(f"{where}: is at {view.sequence} in the end, stored are {last}")
    snapshots = [*view.snapshots, Told(view.account_id, view.sequence, view.state)]
    wanted = {told.sequence for told in snapshots}
    states = {0: first}
    orders: dict[int, Any] = dict(first.orders)
    for sequence, payload in events:
        event = msgspec.json.decode(payload)
        take(orders, event)
        if sequence in wanted:
            states[sequence] = State(event["balance"], event["margin"], dict(orders))
    for told in snapshots:
        state = states.get(told.sequence)
        if state is None:
            faults.append(f"{where}: a snapshot of {told.sequence}, which is not stored")
        elif state != told.state:
            faults.append(f"{where}: {_difference(told, state)}")
    return faults[:MAX_TOLD]


def _difference(told: Told, state: State) -> str:
    """Tell what a snapshot has otherwise than its events."""
    for name in ("balance", "margin"):
        if getattr(told.state, name) != getattr(state, name):
            return (
                f"as of {told.sequence} its {name} was told as {getattr(told.state, name)}, "
                f"stored is {getattr(state, name)}"
            )
    mine, stored = told.state.orders, state.orders
    order_id = next(
        each for each in sorted(mine.keys() | stored.keys()) if mine.get(each) != stored.get(each)
    )
    return (
        f"as of {told.sequence} order {order_id} was told as {mine.get(order_id)}, "
        f"stored is {stored.get(order_id)}"
    )
