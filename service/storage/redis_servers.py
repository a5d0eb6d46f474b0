"""The servers behind a Redis address: one, or the masters of a cluster.

`redis+cluster://host:port,host:port` (`rediss+cluster` with TLS) names some nodes of a cluster; the
others, and which slots are whose, are asked of them. Commands go out in one pipeline for each node
that has some of them, all nodes at once, and their replies come back in the commands' order; where
one node fails, what the others were sent is done.

What has no key goes with the first command of its pipeline that has one, so that a transaction
stays in its place. A node that no longer has a slot says so: the slots are asked for again, and
what was refused is sent once more, which is safe, as a refused command did nothing. While a slot is
on its way, what has left its node already is asked of the next one. When a slot has another owner,
as after a failover, it may have lost what was written last: `on_replaced` is told.

Limit: while a slot is on its way, transactions and scripts that need several of its keys fail,
until all of these have arrived.
"""

import asyncio
import random
from binascii import crc_hqx
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from service.instruments.pools import Pool
from service.storage.redis_node import Command, RedisNode, key_of
from service.storage.redis_urls import is_cluster, node_urls, url_beside

SLOTS = 16_384
# What is not where it was asked for is looked for so often, from the second time on with a pause.
ATTEMPTS = 4
MOVE_PAUSE_S = 0.02
_PING: Command = ("PING",)
_PONG = b"PONG"
_MULTI: Command = ("MULTI",)
_ASKING: Command = ("ASKING",)
_INFO: Command = ("INFO",)
_WHO_HAS_WHAT: Command = ("CLUSTER", "SLOTS")
_MOVED = (MovedError, ClusterDownError)
_ELSEWHERE = (*_MOVED, AskError, TryAgainError)


class RedisServers(Protocol):
    """Where commands go."""

    @property
    def nodes(self) -> Sequence[RedisNode]:
        """All that were ever known."""
        ...

    @property
    def masters(self) -> Sequence[RedisNode]:
        """Those that have the keys, as far as is known."""
        ...

    async def pipeline(
        self, commands: Sequence[Command], replies: list[Any] | None = None
    ) -> list[Any]:
        """Send commands and return their replies in their order; raises the first refusal.

        What was replied is in `replies` too, a list as long as `commands`, however it ends.
        """
        ...

    def doubt(self) -> None:
        """Take that a call has failed: what is known of the servers may be out of date."""
        ...

    async def ping(self) -> bool:
        """Tell whether all answer that anything is asked of."""
        ...

    async def info(self) -> list[bytes]:
        """Return what each says of itself; raises as `pipeline` does."""
        ...

    def is_away(self, key: bytes) -> bool:
        """Tell whether the server that has a key is known not to have answered last time."""
        ...

    async def url_of(self, key: bytes) -> str:
        """Return the address of the server that has a key; raises as `pipeline` does."""
        ...


class OneServer:
    """A server of its own."""

    def __init__(
        self, url: str, pool: Pool, scripts: Sequence[str], on_replaced: Callable[[], None]
    ) -> None:
        self._node = RedisNode(url, pool, scripts, on_replaced)
        self.nodes: Sequence[RedisNode] = (self._node,)
        self.masters = self.nodes

    async def pipeline(
        self, commands: Sequence[Command], replies: list[Any] | None = None
    ) -> list[Any]:
        found = await self._node.pipeline(commands)
        if replies is not None:
            replies[:] = found
        return _unrefused(found)

    def doubt(self) -> None:
        """There is no other to know of."""

    async def ping(self) -> bool:
        return await self.pipeline([_PING]) == [_PONG]

    async def info(self) -> list[bytes]:
        return await self.pipeline([_INFO])

    def is_away(self, key: bytes) -> bool:
        return self._node.failed_at > 0

    async def url_of(self, key: bytes) -> str:
        return self._node.url


class Cluster:
    """The masters of a cluster."""

    def __init__(
        self, url: str, pool: Pool, scripts: Sequence[str], on_replaced: Callable[[], None]
    ) -> None:
        self._make: Callable[[str], RedisNode] = lambda each: RedisNode(
            each, pool, scripts, on_replaced
        )
        self._on_replaced = on_replaced
        self._known = {each: self._make(each) for each in node_urls(url)}
        self._slots: Sequence[RedisNode] = []
        self._owned_by: Sequence[RedisNode] = []
        self._asking = asyncio.Lock()

    @property
    def nodes(self) -> Sequence[RedisNode]:
        return list(self._known.values())

    @property
    def masters(self) -> Sequence[RedisNode]:
        return list(dict.fromkeys(self._owned_by))

    async def pipeline(
        self, commands: Sequence[Command], replies: list[Any] | None = None
    ) -> list[Any]:
        if replies is None:
            replies = [None] * len(commands)
        slots = await self._owners()
        await self._send(commands, range(len(commands)), slots, {}, replies)
        for attempt in range(1, ATTEMPTS):
            elsewhere = {n: each for n, each in enumerate(replies) if isinstance(each, _ELSEWHERE)}
            if not elsewhere:
                break
            if attempt > 1:
                await asyncio.sleep(MOVE_PAUSE_S)
            if any(isinstance(reply, _MOVED) for reply in elsewhere.values()):
                slots = await self._owners(slots)
            is_whole = _MULTI in commands
            numbers = range(len(commands)) if is_whole else list(elsewhere)
            ahead = {
                number: self._node(url_beside(slots[reply.slot_id].url, reply.host, reply.port))
                for number, reply in elsewhere.items()
                if isinstance(reply, AskError) and not is_whole
            }
            await self._send(commands, numbers, slots, ahead, replies)
        return _unrefused(replies)

    def doubt(self) -> None:
        """Ask the nodes anew before the next call: one of them may be gone."""
        self._slots = []

    async def ping(self) -> bool:
        return all(answer == _PONG for answer in await self._of_all(_PING))

    async def info(self) -> list[bytes]:
        return await self._of_all(_INFO)

    def is_away(self, key: bytes) -> bool:
        return bool(self._owned_by) and self._owned_by[slot_of(key)].failed_at > 0

    async def url_of(self, key: bytes) -> str:
        return (await self._owners())[slot_of(key)].url

    async def _of_all(self, command: Command) -> list[Any]:
        await self._owners()
        answers = await asyncio.gather(*(each.pipeline([command]) for each in self.masters))
        return _unrefused([answer for [answer] in answers])

    async def _send(
        self,
        commands: Sequence[Command],
        numbers: Sequence[int],
        slots: Sequence[RedisNode],
        ahead: Mapping[int, RedisNode],
        replies: list[Any],
    ) -> None:
        """Send those commands to their nodes; put replies into their places.

        Some go `ahead`, to where their slot is on its way.
        """
        parts: dict[RedisNode, list[int]] = {}
        keys = {number: key_of(commands[number]) for number in numbers}
        first = next((key for key in keys.values() if key is not None), None)
        for number, key in keys.items():
            node = ahead.get(number)
            if node is None:
                node = slots[0 if first is None else slot_of(first if key is None else key)]
            parts.setdefault(node, []).append(number)

        async def ask(node: RedisNode, part: list[int]) -> None:
            said: list[Command] = []
            places: list[int] = []
            for number in part:
                if number in ahead:
                    said.append(_ASKING)
                places.append(len(said))
                said.append(commands[number])
            found = await node.pipeline(said)
            for number, place in zip(part, places, strict=True):
                replies[number] = found[place]

        asked = [ask(node, part) for node, part in parts.items()]
        for failure in await asyncio.gather(*asked, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _owners(self, but: Sequence[RedisNode] | None = None) -> Sequence[RedisNode]:
        """Return the owner of each slot, asked for again where all that is known is `but` that."""
        async with self._asking:
            if not self._slots or self._slots is but:
                self._slots = await self._ask()
                if self._owned_by and self._owned_by != self._slots:
                    self._on_replaced()
                self._owned_by = self._slots
            return self._slots

    async def _ask(self) -> list[RedisNode]:
        """Ask any node that answers who has which slot, those first that answered last time.

        Raises:
            OSError, RedisError: none answers, or the cluster is not whole.
        """
        failure: Exception = ConnectionError("the cluster names no nodes")
        known = random.sample(self.nodes, len(self.nodes))
        for asked in sorted(known, key=lambda node: node.failed_at):
            try:
                [ranges] = _unrefused(await asked.pipeline([_WHO_HAS_WHAT]))
            except (RedisError, OSError) as error:
                failure = error
                continue
            owners: list[RedisNode | None] = [None] * SLOTS
            for first, last, (host, port, *_), *_ in ranges:
                node = self._node(url_beside(asked.url, (host or b"").decode(), port))
                owners[first : last + 1] = [node] * (last + 1 - first)
            found = [owner for owner in owners if owner is not None]
            if len(found) == SLOTS:
                return found
            failure = ConnectionError("some slots of the cluster have no owner")
        raise failure

    def _node(self, url: str) -> RedisNode:
        node = self._known.get(url)
        if node is None:
            node = self._known[url] = self._make(url)
        return node


def servers_of(
    url: str, pool: Pool, scripts: Sequence[str], on_replaced: Callable[[], None]
) -> RedisServers:
    """Return the servers behind an address."""
    kind = Cluster if is_cluster(url) else OneServer
    return kind(url, pool, scripts, on_replaced)


def slot_of(key: bytes) -> int:
    """Return the slot of a key: that of its hash tag, where it has one."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def _unrefused(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, _ELSEWHERE):
            raise ConnectionError(f"the cluster is in between: {reply}")
        if isinstance(reply, ResponseError):
            raise reply
    return replies
