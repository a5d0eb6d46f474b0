"""The cache: static orders, group prices and group symbols in Redis.

Every cache read goes through `Cache`, which counts hit, miss and error per cache. No method raises
or waits longer than its timeout because of Redis: a read finds nothing, a write does nothing, both
are counted, and Redis is left alone for `PAUSE_S` after a failure. What is found is right:

- An entry is written whole from one database snapshot and moves on by events in sequence; a gap
  removes it (`cache_scripts.py`).
- It is believed only under the present *generation* of its account's shard (`generations.py`). A
  new one begins whenever an event may not have reached Redis, or the server was replaced: what was
  cached before is then a miss.
- A snapshot that was overtaken by an event while it was read is not stored: `open_fill` before the
  database is read, `fill_static_orders` after.

Keys and how long they live are in `cache_keys.py`.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from service.instruments import Instruments
from service.storage.applying import apply_events
from service.storage.cache_entries import (
    Changes,
    StaticOrders,
    Ticket,
    Version,
    fields_from,
    fill_command,
    open_command,
    read_changed_command,
    static_orders_from,
    version_of,
)
from service.storage.cache_keys import filling_key, orders_key, portfolio_key
from service.storage.cache_scripts import SCRIPTS
from service.storage.generations import Generations, OwnGenerations
from service.storage.group_cache import GroupCache
from service.storage.redis_link import READ_TIMEOUT_S, WRITE_TIMEOUT_S, RedisLink
from service.storage.redis_node import Command
from service.storage.redis_state import RedisState, redis_state_from
from service.storage.valuation import Valuation, store_valuation, valuation_from
from telemetry.span_ids import SpanIds

__all__ = ["ACCOUNTS_IN_PIPELINE", "Cache", "StaticOrders", "Ticket", "Version"]

ACCOUNTS_IN_PIPELINE = 500
# Accounts decoded before others get the event loop: about a millisecond of work.
DECODED_AT_ONCE = 25
_NEVER_READ: Version = (b"", b"")


class Cache:
    """Redis as the shared read side. Close it when done.

    Its generations are this process's own, until it is given others.
    """

    def __init__(self, url: str, instruments: Instruments) -> None:
        self._instruments = instruments
        self.generations: Generations = OwnGenerations()
        self._link = self.link = RedisLink(url, instruments, SCRIPTS, self.renew)
        self.groups = GroupCache(self._link, instruments)

    async def close(self) -> None:
        await self._link.close()

    def is_away(self, account_id: int) -> bool:
        """Tell whether the server that has an account is known not to have answered last time."""
        return self._link.is_away(orders_key(account_id))

    async def ping(self) -> bool:
        """Tell whether Redis answers."""
        return await self._link.ping()

    async def state(self) -> RedisState | None:
        """Return what Redis says of itself, None where it, or a master of it, does not answer.

        Raises:
            ValueError: what answers is no Redis that we know.
        """

        infos = await self._link.info()
        return None if infos is None else redis_state_from(*infos)

    def renew(self, shard: int | None = None) -> None:
        """Begin a new generation: disbelieve what was cached so far, of a shard or of all.

        Call it when this process takes over the writing; the cache does so itself on failures.
        """
        self.generations.renew(shard)

    async def get_user_static_orders_cache(self, account_id: int) -> StaticOrders | None:
        """Return an account with its pending and open orders, of one sequence, or None."""
        return (await self.static_orders([account_id])).get(account_id)

    async def static_orders(
        self, account_ids: Sequence[int], *, is_audit: bool = False
    ) -> dict[int, StaticOrders]:
        """Return those accounts that are cached, read in pipelines.

        What an audit looks at is nobody's hit or miss.
        """
        found: dict[int, StaticOrders] = {}
        for start in range(0, len(account_ids), ACCOUNTS_IN_PIPELINE):
            part = account_ids[start : start + ACCOUNTS_IN_PIPELINE]
            commands: list[Command] = [("HGETALL", orders_key(each)) for each in part]
            changes, broken = await self._read(part, commands)
            found |= changes.found
            if not is_audit:
                self._count_read(len(part), changes, broken)
        return found

    async def changed_static_orders(
        self, account_ids: Sequence[int], known: Mapping[int, Version]
    ) -> Changes:
        """Return who is still cached as `known`, and what else is cached of these accounts.

        One pipeline: at most `ACCOUNTS_IN_PIPELINE` of them.
        """
        of = self.generations.of
        believed = {each: of(each) for each in account_ids}
        commands = [
            read_changed_command(each, generation or "", known.get(each, _NEVER_READ))
            for each, generation in believed.items()
        ]
        changes, broken = await self._read(account_ids, commands)
        # Redis knew others still, and they are not believed any more.
        changes.same[:] = [each for each in changes.same if of(each) == believed[each]]
        self._count_read(len(account_ids), changes, broken)
        return changes

    async def _read(
        self, account_ids: Sequence[int], commands: Sequence[Command]
    ) -> tuple[Changes, int]:
        """Return what is cached, and of how many accounts it cannot be told."""

        async def ask() -> list[Any]:
            return await self._link.pipeline(commands)

        is_one = len(account_ids) == 1
        entries = await self._link.call(
            "read_orders", READ_TIMEOUT_S if is_one else WRITE_TIMEOUT_S, ask
        )
        changes = Changes([], {}, {})
        if entries is None:
            return changes, len(account_ids)
        of = self.generations.of
        broken: list[int] = []
        for account_id, entry in zip(account_ids, entries, strict=True):
            if entry == 1:
                changes.same.append(account_id)
                continue
            fields = entry if isinstance(entry, dict) else fields_from(entry)
            generation = of(account_id)
            if generation is None or fields.get(b"generation") != generation.encode():
                continue
            try:
                changes.versions[account_id] = version_of(fields)
                changes.found[account_id] = static_orders_from(fields)
            except (ValueError, KeyError):  # what cannot be read is no entry
                broken.append(account_id)
            if len(changes.found) % DECODED_AT_ONCE == 0:
                await asyncio.sleep(0)
        if broken:
            await self.remove_accounts(broken)
        return changes, len(broken)

    def _count_read(self, asked: int, changes: Changes, broken: int) -> None:
        hits = len(changes.same) + len(changes.found)
        for result, count in (("hit", hits), ("error", broken), ("miss", asked - hits - broken)):
            self._instruments.cache_request("static_orders", result, count)

    async def open_fill(self, account_ids: Sequence[int]) -> Ticket | None:
        """Return a ticket to fill these accounts; take it before reading the database."""
        present = {each: self.generations.of(each) for each in account_ids}
        generations = {each: one for each, one in present.items() if one is not None}

        async def ask() -> Ticket:
            windows = await self._link.pipeline([open_command(each) for each in account_ids])
            return Ticket(generations, dict(zip(account_ids, windows, strict=True)))

        return await self._link.call("fill_orders", READ_TIMEOUT_S, ask)

    async def fill_static_orders(
        self, ticket: Ticket | None, snapshots: Sequence[StaticOrders]
    ) -> int:
        """Store accounts with all their live orders as read under `ticket`; return how many were.

        Nothing older than what is known of an account is stored, and nothing without a ticket.
        """
        commands = self._fills(ticket, snapshots)
        if not commands:
            return 0

        async def ask() -> int:
            return sum(await self._link.pipeline(commands))

        return await self._link.call("fill_orders", WRITE_TIMEOUT_S, ask) or 0

    def _fills(self, ticket: Ticket | None, snapshots: Iterable[StaticOrders]) -> list[Command]:
        """Return what stores those accounts whose generation is still that of the ticket."""
        if ticket is None:
            return []
        of, given = self.generations.of, ticket.generations
        return [
            fill_command(ticket, account, orders)
            for account, orders in snapshots
            if given.get(account.account_id, "") == of(account.account_id)
        ]

    async def apply_events(
        self, payloads: Sequence[bytes | str], spans: Sequence[SpanIds | None] = ()
    ) -> set[int]:
        """Take committed events into their entries and publish them, as `applying` says.

        If some of them are not known to have reached Redis, a new generation begins.
        """
        missed = await apply_events(self._link, self._instruments, payloads, spans)
        if missed:
            self.renew()
        return missed

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

    async def valuations(self, account_ids: Sequence[int]) -> dict[int, Valuation]:
        """Return what the portfolio job left of these accounts, at most a page of them."""

        async def ask() -> list[bytes | None]:
            return await self._link.pipeline([("GET", portfolio_key(each)) for each in account_ids])

        entries = await self._link.call("read_portfolios", READ_TIMEOUT_S, ask)
        if entries is None:
            self._instruments.cache_request("portfolios", "error", len(account_ids))
            return {}
        found = {}
        for account_id, entry in zip(account_ids, entries, strict=True):
            try:
                if entry is not None:
                    found[account_id] = valuation_from(entry)
                self._instruments.cache_request("portfolios", "hit" if entry else "miss")
            except msgspec.DecodeError:
                self._instruments.cache_request("portfolios", "error")
        return found

    async def write_valuations(
        self,
        valuations: Iterable[Valuation],
        gone: Iterable[int],
        ticket: Ticket | None,
        snapshots: Iterable[StaticOrders],
        expiry_s: int,
    ) -> bool:
        """Store valuations for `expiry_s`, forget what is gone, fill what was read under `ticket`.

        One pipeline; False where Redis did not take it.
        """
        commands = [store_valuation(each, expiry_s) for each in valuations]
        commands += [("DEL", portfolio_key(each)) for each in gone]
        commands += self._fills(ticket, snapshots)

        async def ask() -> bool:
            await self._link.pipeline(commands)
            return True

        if not commands:
            return True
        return await self._link.call("write_portfolios", WRITE_TIMEOUT_S, ask) or False
