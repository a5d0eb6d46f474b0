"""Generations of the cache: what is believed of what was cached, a shard at a time.

An entry is believed under the present generation of its account's shard. Whoever trades the shard
begins a new one whenever an event may not have reached Redis: all entries of before are misses.

- `OwnGenerations`: of a process that trades all it reads of: its memory is the truth, none asks.
- `ToldGenerations`: of an engine, which tells gateways its shards' generations, by a key that ends
  `TOLD_LIFE_S` after it was sent and is renewed every `TELL_INTERVAL_S`, at once if there is a new
  one. It is renewed only while all of Redis answers and the shard is the engine's by its lease.
- `HeardGenerations`: of a gateway, which asks every `HEAR_INTERVAL_S` and believes what it heard
  for `BELIEVED_S` from when it asked.

So a gateway believes an entry that has missed an event for `STALE_AT_MOST_S` at the most, whoever
was killed, cut off or stopped meanwhile: a generation that nobody renews has ended by then. Limit:
by the clocks of engine and Redis, which may differ by as much as quotes may be ahead.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from service.storage.cache_keys import GENERATION, generation_key
from service.storage.redis_link import READ_TIMEOUT_S, WRITE_TIMEOUT_S, RedisLink
from service.storage.redis_node import Command
from telemetry.pulse import Pulse

TELL_INTERVAL_S = 2.0
TOLD_LIFE_S = GENERATION.expiry_s
HEAR_INTERVAL_S = 1.0
BELIEVED_S = 2.0
# An event that does not arrive is known not to have after `WRITE_TIMEOUT_S`.
STALE_AT_MOST_S = WRITE_TIMEOUT_S + TOLD_LIFE_S + BELIEVED_S


class Generations(Protocol):
    """The present generations, as far as this process may believe in them."""

    def of(self, account_id: int) -> str | None:
        """Return the generation of an account's entry, None: nothing is to be believed."""
        ...

    def renew(self, shard: int | None = None) -> None:
        """Disbelieve all that was cached of a shard, or of all shards, so far."""
        ...


class OwnGenerations:
    """Those of a process that writes what it reads, of `shards` shards."""

    def __init__(self, shards: int = 1) -> None:
        self._shards = shards
        self._present = [_new() for _ in range(shards)]

    def of(self, account_id: int) -> str | None:
        """Return the generation of an account's entry."""
        return self._present[account_id % self._shards]

    def renew(self, shard: int | None = None) -> None:
        """Begin new generations."""
        for each in range(self._shards) if shard is None else (shard,):
            self._present[each] = _new()


class ToldGenerations(OwnGenerations):
    """Those of an engine, told to gateways; `run` does."""

    def __init__(self, link: RedisLink, shards: int, led: Callable[[], Sequence[int]]) -> None:
        """Take what says which shards are this process's own now, by their leases."""
        super().__init__(shards)
        self._link = link
        self._led = led
        self._wake = asyncio.Event()
        self.pulse = Pulse()

    def renew(self, shard: int | None = None) -> None:
        """Begin new generations and have them told at once."""
        super().renew(shard)
        self._wake.set()

    async def run(self) -> None:
        """Tell for ever."""
        while True:
            self._wake.clear()
            await self.tell()
            self.pulse.beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TELL_INTERVAL_S):
                    await self._wake.wait()

    async def tell(self) -> bool:
        """Renew what is told of the shards that are led; tell whether that is known to be done."""
        # A master that was replaced without a word has lost events: found out before it is renewed.
        if not await self._link.ping():
            return False
        # By the clock: what Redis only comes to later must not live for longer.
        until_ms = int((time.time() + TOLD_LIFE_S) * 1000)
        commands: list[Command] = [
            ("SET", generation_key(each), self._present[each], "PXAT", until_ms)
            for each in self._led()
        ]

        async def ask() -> bool:
            await self._link.pipeline(commands)
            return True

        if not commands:
            return True
        return await self._link.call("tell_generations", WRITE_TIMEOUT_S, ask) or False


class HeardGenerations:
    """Those that a gateway has heard of; have it `hear` every `HEAR_INTERVAL_S`."""

    def __init__(
        self, link: RedisLink, shards: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._link = link
        self._shards = shards
        self._clock = clock
        self._heard: list[str | None] = [None] * shards
        self._until = float("-inf")

    def of(self, account_id: int) -> str | None:
        """Return the generation of an account's entry, None where none was heard of lately."""
        return self._heard[account_id % self._shards] if self._clock() < self._until else None

    def renew(self, shard: int | None = None) -> None:
        """Believe nothing until generations are heard again."""
        self._until = float("-inf")

    async def hear(self) -> None:
        """Ask Redis; where it does not answer, what was heard before is believed no longer than."""
        since = self._clock()

        async def ask() -> list[Any]:
            return await self._link.pipeline(
                [("GET", generation_key(each)) for each in range(self._shards)]
            )

        heard = await self._link.call("hear_generations", READ_TIMEOUT_S, ask)
        if heard is not None:
            self._heard = [None if each is None else each.decode() for each in heard]
            self._until = since + BELIEVED_S


def _new() -> str:
    return secrets.token_hex(8)
