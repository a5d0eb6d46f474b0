"""A cached account as the scripts take it and as Redis returns it: commands out, orders back."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import msgspec

from service.storage.cache_keys import (
    FILLING,
    events_channel,
    filling_key,
    orders_expiry_s,
    orders_key,
)
from service.storage.cache_scripts import APPLY_EVENTS, FILL, OPEN_FILL, READ_CHANGED, digest
from service.storage.envelope import wrap
from service.storage.redis_node import Command
from service.storage.views import AccountView, OrderView
from telemetry.span_ids import SpanIds

StaticOrders = tuple[AccountView, list[OrderView]]
Version = tuple[bytes, bytes]
"""Filling and sequence of an entry: while they stay, it does."""


class Ticket(NamedTuple):
    """The right to fill entries from a database snapshot that is read after it was given.

    By account: the generation that is filled, and the window.
    """

    generations: Mapping[int, str]
    windows: Mapping[int, bytes]


class Changes(NamedTuple):
    """Who is cached as he was known, and what else is cached, with which version that is."""

    same: list[int]
    found: dict[int, StaticOrders]
    versions: dict[int, Version]


class _EventOrder(msgspec.Struct):
    order_id: int
    status: str


class _Event(msgspec.Struct):
    account_id: int
    sequence: int
    balance: str
    margin: str
    order: msgspec.Raw
    in_margin_call: bool = False


_APPLY: Command = ("EVALSHA", digest(APPLY_EVENTS), 3)
_OPEN: Command = ("EVALSHA", digest(OPEN_FILL), 1)
_FILL: Command = ("EVALSHA", digest(FILL), 2)
_READ_CHANGED: Command = ("EVALSHA", digest(READ_CHANGED), 1)
_LIVE = frozenset({"PENDING", "OPEN"})
_OWN_FIELDS = frozenset(
    {
        *(b"generation", b"filling", b"sequence"),
        *(b"account", b"balance", b"margin", b"in_margin_call"),
    }
)
_event_from = msgspec.json.Decoder(_Event).decode
_event_order_from = msgspec.json.Decoder(_EventOrder).decode
_account_from = msgspec.json.Decoder(AccountView).decode
_order_from = msgspec.json.Decoder(OrderView).decode
_encode = msgspec.json.Encoder().encode


def applications(
    payloads: Iterable[bytes | str], spans: Iterable[SpanIds | None] = ()
) -> dict[int, Command]:
    """Return a command an account that takes its events, JSON of `EventView`, in their order.

    `spans` are those that publish them, None for what is not traced; none at all if nothing is.
    """
    by_account: dict[int, list[bytes | str | int]] = {}
    for payload, span in zip_longest(payloads, spans):
        event = _event_from(payload)
        published = wrap(payload, span)
        by_account.setdefault(event.account_id, []).extend(_arguments(event, published))
    return {
        account_id: (
            *_APPLY,
            orders_key(account_id),
            filling_key(account_id),
            events_channel(account_id),
            *arguments,
        )
        for account_id, arguments in by_account.items()
    }


def _arguments(event: _Event, published: bytes | str) -> list[bytes | str | int]:
    """Return an event as the script takes it."""
    order_id: int | str = ""
    order = b""
    if bytes(event.order) != b"null":
        state = _event_order_from(event.order)
        order_id = state.order_id
        if state.status in _LIVE:
            order = bytes(event.order)
    in_margin_call = int(event.in_margin_call)
    return [event.sequence, event.balance, event.margin, in_margin_call, order_id, order, published]


def open_command(account_id: int) -> Command:
    """Return the command that opens a window to fill an account's entry, or joins another's."""
    return (*_OPEN, filling_key(account_id), secrets.token_hex(8), FILLING.expiry_s)


def fill_command(ticket: Ticket, account: AccountView, orders: Iterable[OrderView]) -> Command:
    """Return the command that fills an account's entry."""
    account_id = account.account_id
    fields: list[bytes | str | int] = ["account", _encode(account)]
    fields += ["balance", account.balance, "margin", account.margin]
    fields += ["in_margin_call", int(account.in_margin_call)]
    for order in orders:
        fields += [order.order_id, _encode(order)]
    return (
        *_FILL,
        orders_key(account_id),
        filling_key(account_id),
        ticket.generations[account_id],
        ticket.windows.get(account_id, b""),
        account.sequence,
        orders_expiry_s(account_id),
        *fields,
    )


def read_changed_command(account_id: int, generation: str, known: Version) -> Command:
    """Return the command that reads an account's entry, unless it is the one that is known."""
    return (*_READ_CHANGED, orders_key(account_id), generation, *known)


def fields_from(reply: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return an entry of which a script has returned fields and values by turns."""
    each = iter(reply)
    return dict(zip(each, each, strict=True))


def version_of(fields: Mapping[bytes, bytes]) -> Version:
    """Return which entry this is.

    Raises:
        KeyError: it is broken.
    """
    return fields[b"filling"], fields[b"sequence"]


def static_orders_from(fields: Mapping[bytes, bytes]) -> StaticOrders:
    """Read an entry; its orders come by id.

    Raises:
        ValueError, KeyError: it is broken.
    """
    account = msgspec.structs.replace(
        _account_from(fields[b"account"]),
        balance=fields[b"balance"].decode(),
        margin=fields[b"margin"].decode(),
        sequence=int(fields[b"sequence"]),
        in_margin_call=fields[b"in_margin_call"] == b"1",
    )
    orders = [_order_from(order) for name, order in fields.items() if name not in _OWN_FIELDS]
    orders.sort(key=_by_id)
    return account, orders


def _by_id(order: OrderView) -> int:
    return order.order_id
