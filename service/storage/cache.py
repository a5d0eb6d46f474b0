"""The cache: static orders, group prices and group symbols in Redis.

Every cache read goes through `Cache`, which counts hit, miss and error per cache. No method raises
or waits longer than its timeout because of Redis: a read finds nothing, a write does nothing, both
are counted, and Redis is left alone for `PAUSE_S` after a failure. What is found is right:

- An entry is written whole from one database snapshot and moves on by events in sequence; a gap
  removes it (`cache_scripts.py`).
- It is believed only under the cache's present *generation*. A new one begins whenever an event may
  not have reached Redis, or the server was replaced: what was cached before is then a miss.
- A snapshot that was overtaken by an event while it was read is not stored: `open_fill` before the
  database is read, `fill_static_orders` after.

Account ids are unique over live and demo, so keys need no user type. Limits: reader and writer of
an account share a `Cache`, for the generation is the process's own.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from service.instruments import Instruments
from service.storage.cache_scripts import APPLY_EVENTS, FILL, OPEN_FILL, SCRIPTS, digest
from service.storage.group_cache import GroupCache
from service.storage.redis_link import READ_TIMEOUT_S, WRITE_TIMEOUT_S, Command, RedisLink
from service.storage.views import AccountView, OrderView
from telemetry.vocabulary import CACHE_UPDATES

ACCOUNTS_IN_PIPELINE = 500

# Whatever may have gone wrong, an hour ends it; spread, so that a filled cache does not expire at
# once. Events do not prolong it: an account nobody looks at leaves.
ORDERS_EXPIRY_S = 3600
ORDERS_EXPIRY_SPREAD_S = 600
# Longer than any read of the database takes. Too short only wastes a fill.
FILLING_EXPIRY_S = 60

StaticOrders = tuple[AccountView, list[OrderView]]


class Ticket(NamedTuple):
    """The right to fill entries from a database snapshot that is read after it was given."""

    generation: str
    windows: Mapping[int, bytes]


class _EventOrder(msgspec.Struct):
    order_id: int
    status: str


class _Event(msgspec.Struct):
    account_id: int
    sequence: int
    balance: str
    margin: str
    order: msgspec.Raw


_APPLY: Command = ("EVALSHA", digest(APPLY_EVENTS), 2)
_OPEN: Command = ("EVALSHA", digest(OPEN_FILL), 1)
_FILL: Command = ("EVALSHA", digest(FILL), 2)
_LIVE = frozenset({"PENDING", "OPEN"})
_OWN_FIELDS = frozenset({b"generation", b"sequence", b"account", b"balance", b"margin"})
_event_from = msgspec.json.Decoder(_Event).decode
_event_order_from = msgspec.json.Decoder(_EventOrder).decode
_account_from = msgspec.json.Decoder(AccountView).decode
_order_from = msgspec.json.Decoder(OrderView).decode
_encode = msgspec.json.Encoder().encode


def orders_key(account_id: int) -> str:
    return f"{{acct:{account_id}}}:orders"


def filling_key(account_id: int) -> str:
    return f"{{acct:{account_id}}}:filling"


def events_channel(account_id: int) -> str:
    return f"{{acct:{account_id}}}:events"


class Cache:
    """Redis as the shared read side. Close it when done."""

    def __init__(self, url: str, instruments: Instruments) -> None:
        self._instruments = instruments
        self._generation = secrets.token_hex(8)
        self._link = RedisLink(url, instruments, SCRIPTS, self.renew)
        self.groups = GroupCache(self._link, instruments)

    async def close(self) -> None:
        await self._link.close()

    async def ping(self) -> bool:
        """Tell whether Redis answers."""
        return await self._link.ping()

    def renew(self) -> None:
        """Begin a new generation: disbelieve everything cached so far.

        Call it when this process takes over the writing; the cache does so itself on failures.
        """
        self._generation = secrets.token_hex(8)

    async def get_user_static_orders_cache(self, account_id: int) -> StaticOrders | None:
        """Return an account with its pending and open orders, of one sequence, or None."""
        return (await self.static_orders([account_id])).get(account_id)

    async def static_orders(self, account_ids: Sequence[int]) -> dict[int, StaticOrders]:
        """Return those accounts that are cached, read in pipelines."""
        found: dict[int, StaticOrders] = {}
        for start in range(0, len(account_ids), ACCOUNTS_IN_PIPELINE):
            found |= await self._read(account_ids[start : start + ACCOUNTS_IN_PIPELINE])
        return found

    async def _read(self, account_ids: Sequence[int]) -> dict[int, StaticOrders]:
        async def ask() -> list[dict[bytes, bytes]]:
            return await self._link.pipeline(
                [("HGETALL", orders_key(account_id)) for account_id in account_ids]
            )

        found: dict[int, StaticOrders] = {}
        broken: list[int] = []
        entries = await self._link.call("read_orders", READ_TIMEOUT_S, ask)
        if entries is None:
            self._instruments.cache_request("static_orders", "error", len(account_ids))
            return found
        generation = self._generation.encode()
        for account_id, fields in zip(account_ids, entries, strict=True):
            if fields.get(b"generation") == generation:
                try:
                    found[account_id] = _static_orders_from(fields)
                except (
                    msgspec.DecodeError,
                    ValueError,
                    KeyError,
                ):  # what cannot be read is no entry
                    broken.append(account_id)
        missing = len(account_ids) - len(found) - len(broken)
        for result, count in (("hit", len(found)), ("error", len(broken)), ("miss", missing)):
            self._instruments.cache_request("static_orders", result, count)
        if broken:
            await self.remove_accounts(broken)
        return found

    async def open_fill(self, account_ids: Sequence[int]) -> Ticket | None:
        """Return a ticket to fill these accounts; take it before reading the database."""
        generation = self._generation

        async def ask() -> Ticket:
            windows = await self._link.pipeline(
                [
                    (*_OPEN, filling_key(account_id), secrets.token_hex(8), FILLING_EXPIRY_S)
                    for account_id in account_ids
                ]
            )
            return Ticket(generation, dict(zip(account_ids, windows, strict=True)))

        return await self._link.call("fill_orders", READ_TIMEOUT_S, ask)

    async def fill_static_orders(
        self, ticket: Ticket | None, snapshots: Sequence[StaticOrders]
    ) -> int:
        """Store accounts with all their live orders as read under `ticket`; return how many were.

        Nothing older than what is known of an account is stored, and nothing without a ticket.
        """
        if ticket is None or not snapshots or ticket.generation != self._generation:
            return 0

        async def ask() -> int:
            return sum(
                await self._link.pipeline(
                    [_fill(ticket, account, orders) for account, orders in snapshots]
                )
            )

        return await self._link.call("fill_orders", WRITE_TIMEOUT_S, ask) or 0

    async def apply_events(self, payloads: Sequence[bytes | str]) -> None:
        """Take committed events, JSON of `EventView`, into their entries and publish them.

        One pipeline for up to 500 accounts; of an account in the order given. If not all of it is
        known to have reached Redis, a new generation begins.
        """
        by_account: dict[int, list[bytes | str | int]] = {}
        for payload in payloads:
            event = _event_from(payload)
            by_account.setdefault(event.account_id, []).extend(_arguments(event, payload))
        accounts = list(by_account.items())
        for start in range(0, len(accounts), ACCOUNTS_IN_PIPELINE):
            if not await self._apply(accounts[start : start + ACCOUNTS_IN_PIPELINE]):
                self.renew()
                return

    async def _apply(self, accounts: Sequence[tuple[int, list[bytes | str | int]]]) -> bool:
        async def ask() -> list[list[int]]:
            return await self._link.pipeline(
                [
                    (
                        *_APPLY,
                        orders_key(account_id),
                        filling_key(account_id),
                        events_channel(account_id),
                        *arguments,
                    )
                    for account_id, arguments in accounts
                ]
            )

        outcomes = await self._link.call("apply_events", WRITE_TIMEOUT_S, ask)
        if outcomes is None:
            return False
        counts = map(sum, zip(*outcomes, strict=True))
        for outcome, count in zip(CACHE_UPDATES, counts, strict=True):
            self._instruments.cache_updated(outcome, count)
        return True

    async def remove_accounts(self, account_ids: Sequence[int]) -> None:
        """Forget accounts whose settings changed (leverage, group); their next read fills anew."""

        async def ask() -> bool:
            # The window goes too: a snapshot read before the change must not be stored.
            await self._link.pipeline(
                [("DEL", orders_key(each), filling_key(each)) for each in account_ids]
            )
            return True

        if not await self._link.call("remove_accounts", WRITE_TIMEOUT_S, ask):
            self.renew()


def _arguments(event: _Event, payload: bytes | str) -> list[bytes | str | int]:
    """Return an event as the script takes it."""
    order_id: int | str = ""
    order = b""
    if bytes(event.order) != b"null":
        state = _event_order_from(event.order)
        order_id = state.order_id
        if state.status in _LIVE:
            order = bytes(event.order)
    return [event.sequence, event.balance, event.margin, order_id, order, payload]


def _fill(ticket: Ticket, account: AccountView, orders: Iterable[OrderView]) -> Command:
    """Return the command that fills an account's entry."""
    account_id = account.account_id
    fields: list[bytes | str | int] = ["account", _encode(account)]
    fields += ["balance", account.balance, "margin", account.margin]
    for order in orders:
        fields += [order.order_id, _encode(order)]
    return (
        *_FILL,
        orders_key(account_id),
        filling_key(account_id),
        ticket.generation,
        ticket.windows.get(account_id, b""),
        account.sequence,
        ORDERS_EXPIRY_S + account_id % ORDERS_EXPIRY_SPREAD_S,
        *fields,
    )


def _static_orders_from(fields: dict[bytes, bytes]) -> StaticOrders:
    account = msgspec.structs.replace(
        _account_from(fields[b"account"]),
        balance=fields[b"balance"].decode(),
        margin=fields[b"margin"].decode(),
        sequence=int(fields[b"sequence"]),
    )
    orders = [_order_from(order) for name, order in fields.items() if name not in _OWN_FIELDS]
    orders.sort(key=_by_id)
    return account, orders


def _by_id(order: OrderView) -> int:
    return order.order_id
