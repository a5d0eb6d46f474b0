"""The messages of the stream, both ways. JSON text frames; `type` tells them apart.

Out: `snapshot` first; then `quotes` (a `PricesMessage`: its sequence counts per group; what waited
comes as one, with the newest price of each symbol), and `order` and `account`, which are
`EventView`s with a type: their sequence counts per account, together and without a gap. A
`subscribed` and the current quotes answer each subscribe and unsubscribe, an `error` what could not
be understood, a `pong` each ping.

In: a socket starts with all symbols of its group. The first `subscribe` with symbols narrows that
to them, later ones add; without symbols it is all again. `unsubscribe` takes symbols away, without
symbols all. Orders and account are always told.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from service.domain.decision import EventKind
from service.storage.group_views import PriceView
from service.storage.views import AccountView, OrderView

MAX_SYMBOLS = 500

SymbolNames = Annotated[list[Annotated[str, Meta(max_length=32)]], Meta(max_length=MAX_SYMBOLS)]


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of what is sent."""


class Snapshot(Message, frozen=True, kw_only=True, tag="snapshot"):
    """An account as it stands; `order` and `account` messages continue after `sequence`."""

    sequence: int
    account: AccountView
    orders: Sequence[OrderView]
    group: str
    quotes_sequence: int
    quotes: list[PriceView]


class Subscribed(Message, frozen=True, kw_only=True, tag="subscribed"):
    """The symbols a socket is sent from now on; null: all."""

    symbols: list[str] | None


class Pong(Message, frozen=True, kw_only=True, tag="pong"):
    """The answer to a ping, with its id."""

    id: str | None


class Error(Message, frozen=True, kw_only=True, tag="error"):
    """Why a message was not understood."""

    code: str
    detail: str
    field: str | None


class ClientMessage(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True
):
    """Base of what is received."""


class Subscribe(ClientMessage, frozen=True, kw_only=True, tag="subscribe"):
    """Ask for symbols; without any: all."""

    symbols: SymbolNames | None = None


class Unsubscribe(ClientMessage, frozen=True, kw_only=True, tag="unsubscribe"):
    """Give symbols up; without any: all."""

    symbols: SymbolNames | None = None


class Ping(ClientMessage, frozen=True, kw_only=True, tag="ping"):
    """Ask for a pong."""

    id: Annotated[str, Meta(max_length=64)] | None = None


Incoming = Subscribe | Unsubscribe | Ping
_FUNDING = frozenset({EventKind.DEPOSITED, EventKind.WITHDRAWN})


class EventHead(msgspec.Struct, frozen=True):
    """What the gateway reads of an event; the rest passes as it is."""

    sequence: int
    kind: EventKind


def event_message(payload: bytes, head: EventHead) -> tuple[str, bytes]:
    """Return the type of an event's message and the message: the event with a type."""
    name = "account" if head.kind in _FUNDING else "order"
    return name, b'{"type":"%b",%b' % (name.encode(), payload[1:])
