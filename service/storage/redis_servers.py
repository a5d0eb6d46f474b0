"""The servers behind a Redis address: one, or the masters of a cluster.

`redis+cluster://host:port,host:port` (`rediss+cluster` with TLS) names some nodes of a cluster; the
others, and which slots are whose, are asked of them. Commands go out in one pipeline for each node
that has some of them, all nodes at once, and their replies come back in the commands' order.

What has no key goes with the first command of its pipeline that has one, so that a transaction
stays in its place. A node that no longer has a slot says so: the slots
are asked for again, and what was refused is sent once more, which is safe, as a refused command did
nothing. When a slot has another owner, as after a failover, it may have lost what was written last:
`on_replaced` is told.

Limit: while a slot is on its way from one node to another, its commands fail.
"""

import asyncio
import random
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from redis.exceptions import ClusterDownError, MovedError, RedisError, ResponseError

from service.instruments.pools import Pool
from service.storage.redis_node import Command, RedisNode

CLUSTER = "+cluster"
SLOTS = 16_384
_PING: Command = ("PING",)
_PONG = b"PONG"
_NO_KEY = frozenset({"PING", "INFO", "MULTI", "EXEC"})
_MOVED = (MovedError, ClusterDownError)
_WHO_HAS_WHAT: Command = ("CLUSTER", "SLOTS")


class RedisServers(Protocol):
    """Where commands go."""

    @property
    def nodes(self) -> Sequence[RedisNode]: ...

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return their replies in their order; raises the first refusal."""
        ...

    def doubt(self) -> None:
        """Take that a call has failed: what is known of the servers may be out of date."""
        ...

    async def ping(self) -> bool:
        """Tell whether all answer that anything is asked of."""
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

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        return _unrefused(await self._node.pipeline(commands))

    def doubt(self) -> None:
        """There is no other to know of."""

    async def ping(self) -> bool:
        return await self.pipeline([_PING]) == [_PONG]

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
        self._slots: list[RedisNode] = []
        self._owned_by: list[str] = []
        self._asking = asyncio.Lock()

    @property
    def nodes(self) -> Sequence[RedisNode]:
        """All that were ever known."""
        return list(self._known.values())

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        slots = await self._owners()
        replies = await self._send(commands, range(len(commands)), slots)
        moved = [number for number, reply in enumerate(replies) if isinstance(reply, _MOVED)]
        if moved:
            if ("MULTI",) in commands:
                moved = list(range(len(commands)))
            again = await self._send(commands, moved, await self._owners(slots))
            for number in moved:
                replies[number] = again[number]
        return _unrefused(replies)

    def doubt(self) -> None:
        """Ask the nodes anew before the next call: one of them may be gone."""
        self._slots = []

    async def ping(self) -> bool:
        owners = dict.fromkeys(await self._owners())
        answers = await asyncio.gather(*(each.pipeline([_PING]) for each in owners))
        return all(answer == [_PONG] for answer in answers)

    async def url_of(self, key: bytes) -> str:
        return (await self._owners())[slot_of(key)].url

    async def _send(
        self, commands: Sequence[Command], numbers: Sequence[int], slots: Sequence[RedisNode]
    ) -> list[Any]:
        """Send those commands to their nodes; return replies in their places."""
        parts: dict[RedisNode, list[int]] = {}
        keys = {number: key_of(commands[number]) for number in numbers}
        first = next((key for key in keys.values() if key is not None), None)
        for number, key in keys.items():
            node = slots[0 if first is None else slot_of(first if key is None else key)]
            parts.setdefault(node, []).append(number)
        replies: list[Any] = [None] * len(commands)

        async def ask(node: RedisNode, part: list[int]) -> None:
            found = await node.pipeline([commands[number] for number in part])
            for number, reply in zip(part, found, strict=True):
                replies[number] = reply

        asked = [ask(node, part) for node, part in parts.items()]
        for failure in await asyncio.gather(*asked, return_exceptions=True):
            if failure is not None:
                raise failure
        return replies

    async def _owners(self, but: Sequence[RedisNode] | None = None) -> Sequence[RedisNode]:
        """Return the owner of each slot, asked for again where all that is known is `but` that."""
        async with self._asking:
            if not self._slots or self._slots is but:
                self._slots = await self._ask()
                addresses = [node.url for node in self._slots]
                if self._owned_by and self._owned_by != addresses:
                    self._on_replaced()
                self._owned_by = addresses
            return self._slots

    async def _ask(self) -> list[RedisNode]:
        """Ask any node that answers who has which slot.

        Raises:
            OSError, RedisError: none answers, or the cluster is not whole.
        """
        failure: Exception = ConnectionError("the cluster names no nodes")
        for url in random.sample(list(self._known), len(self._known)):
            try:
                [ranges] = _unrefused(await self._known[url].pipeline([_WHO_HAS_WHAT]))
            except (RedisError, OSError) as error:
                failure = error
                continue
            owners: list[RedisNode | None] = [None] * SLOTS
            for first, last, (host, port, *_), *_ in ranges:
                owners[first : last + 1] = [self._node(url, (host or b"").decode(), port)] * (
                    last + 1 - first
                )
            found = [owner for owner in owners if owner is not None]
            if len(found) == SLOTS:
                return found
            failure = ConnectionError("some slots of the cluster have no owner")
        raise failure

    def _node(self, asked: str, host: str, port: int) -> RedisNode:
        """Return the node at an address, as `asked` told it: without a host it means itself."""
        parts = urlsplit(asked)
        user, _, _ = parts.netloc.rpartition("@")
        named = f"[{host}]" if ":" in host else host or str(parts.hostname)
        url = parts._replace(netloc=f"{user}{'@' if user else ''}{named}:{port}").geturl()
        node = self._known.get(url)
        if node is None:
            node = self._known[url] = self._make(url)
        return node


def servers_of(
    url: str, pool: Pool, scripts: Sequence[str], on_replaced: Callable[[], None]
) -> RedisServers:
    """Return the servers behind an address."""
    kind = Cluster if CLUSTER in urlsplit(url).scheme else OneServer
    return kind(url, pool, scripts, on_replaced)


def node_urls(url: str) -> list[str]:
    """Return the address of each node that a Redis address names."""
    parts = urlsplit(url)
    if CLUSTER not in parts.scheme:
        return [url]
    user, at, hosts = parts.netloc.rpartition("@")
    scheme = parts.scheme.removesuffix(CLUSTER)
    return [f"{scheme}://{user}{at}{host}" for host in hosts.split(",")]


def key_of(command: Command) -> bytes | None:
    """Return the key that says where a command goes, None where it has none."""
    name = command[0]
    if name in _NO_KEY:
        return None
    key = command[3] if name == "EVALSHA" else command[1]
    return key if isinstance(key, bytes) else str(key).encode()


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
        if isinstance(reply, _MOVED):
            raise ConnectionError(f"the cluster is in between: {reply}")
        if isinstance(reply, ResponseError):
            raise reply
    return replies
