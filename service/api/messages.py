"""The messages of the stream, both ways. JSON text frames; `type` tells them apart.

Out: a `snapshot` of each account the token covers first. Then `quotes` (a `PricesMessage`: its
sequence counts per group; what waited comes as one, with the newest price of each symbol); `order`
and `account`, which are `EventView`s with a type: their sequence counts per account, together and
without a gap; and `portfolio`, what an account is worth by now, after its prices have moved or
something has happened to it: of those that waited only the newest comes. Its sequence is that of
the last event it counts in, which a socket has always been told before. All but `quotes` name their
account, `quotes` their group. A `subscribed` and the current quotes answer each subscribe and
unsubscribe, an `error` what could not be understood, a `pong` each ping.

In: a socket starts with all symbols of its accounts' groups. The first `subscribe` with symbols
narrows that to them, later ones add; without symbols it is all again. `unsubscribe` takes symbols
away, without symbols all. Orders, account and portfolio are always told.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from service.storage.group_views import PriceView
from service.storage.views import AccountView, EventView, OrderView

MAX_SYMBOLS = 500

SymbolNames = Annotated[list[Annotated[str, Meta(max_length=32)]], Meta(max_length=MAX_SYMBOLS)]


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of what is sent."""


class PositionValue(msgspec.Struct, frozen=True):
    """What a position is worth: the price its group would close it at, and its profit in USD.

    None: its symbol was never quoted, or there is no conversion rate.
    """

    order_id: int
    price: str | None
    profit: str | None


class PortfolioUpdate(msgspec.Struct, frozen=True, tag_field="type", tag="portfolio"):
    """What an account is worth at its group's prices, in USD; committed up to `sequence`.

    With positions that cannot be priced, listed in `unpriced` by order id, `equity`, `free_margin`
    and `margin_level` are None. `margin_level` is equity / margin in percent, None without margin.
    """

    account_id: int
    sequence: int
    balance: str
    equity: str | None
    margin: str
    free_margin: str | None
    margin_level: str | None
    unpriced: list[int]
    positions: list[PositionValue]


class Snapshot(Message, frozen=True, kw_only=True, tag="snapshot"):
    """An account as it stands; `order` and `account` messages continue after `sequence`.

    `portfolio` is None on a process that does not know all of the group's terms yet.
    """

    account_id: int
    sequence: int
    portfolio: PortfolioUpdate | None
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


def event_message(payload: bytes, event: EventView) -> tuple[str, bytes]:
    """Return the type of an event's message and the message: the event with a type."""
    name = "account" if event.order is None else "order"
    return name, b'{"type":"%b",%b' % (name.encode(), payload[1:])
