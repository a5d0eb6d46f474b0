"""Bare clients of Redis that ask what somebody else asked, byte for byte, in the same pipelines."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple, cast
from unittest.mock import patch
from urllib.parse import urlsplit

import hiredis
import msgspec
from redis.asyncio import Redis

from service.storage.redis_link import RedisLink
from service.storage.redis_node import Command

Pipelines = list[tuple[Command, ...]]

CHUNK_BYTES = 262_144
_JSON = (b"{", b"[")
_NOTHING = object()
# Its published type knows commands of one word only.
_pack = cast("Callable[[Command], bytes]", hiredis.pack_command)
_decode = msgspec.json.Decoder().decode


@contextmanager
def recorded() -> Iterator[Pipelines]:
    """Note the pipelines that the service sends inside."""
    sent: Pipelines = []
    pipeline = RedisLink.pipeline

    async def noting(link: RedisLink, commands: Sequence[Command]) -> list[Any]:
        sent.append(tuple(commands))
        return await pipeline(link, commands)

    with patch.object(RedisLink, "pipeline", noting):
        yield sent


async def ask(client: Redis, pipelines: Pipelines) -> list[list[Any]]:
    """Send pipelines one after the other; return their replies."""
    answered = []
    for commands in pipelines:
        pipe = client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        answered.append(await pipe.execute())
    return answered


def decode(answered: list[list[Any]]) -> int:
    """Decode whatever is JSON among replies and the fields of replies; return how much it was."""
    decoded = 0
    for replies in answered:
        for reply in replies:
            for value in _values(reply):
                if isinstance(value, bytes) and value.startswith(_JSON):
                    _decode(value)
                    decoded += 1
    return decoded


def _values(reply: object) -> Iterable[object]:
    if isinstance(reply, dict):
        return reply.values()
    return reply if isinstance(reply, list) else (reply,)


class Packed(NamedTuple):
    """A pipeline as it goes over the wire, and how many replies it has."""

    data: bytes
    replies: int


class BareConnection:
    """A socket, and the parser in C that redis-py uses too: what nobody can do without."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = hiredis.Reader(notEnoughData=_NOTHING)

    @staticmethod
    @asynccontextmanager
    async def to(url: str) -> "AsyncIterator[BareConnection]":
        """Connect to a server that asks for a password."""
        parts = urlsplit(url)
        connection = BareConnection(*await asyncio.open_connection(parts.hostname, parts.port))
        try:
            await connection.send(
                packed([(("HELLO", 3, "AUTH", "default", parts.password or ""),)])
            )
            yield connection
        finally:
            connection._writer.close()

    async def send(self, pipelines: Iterable[Packed]) -> None:
        """Send pipelines one after the other, each once the last was answered; drop the replies.

        Raises RuntimeError: the server refused something.
        """
        for pipeline in pipelines:
            self._writer.write(pipeline.data)
            missing = pipeline.replies
            while missing:
                self._parser.feed(await self._reader.read(CHUNK_BYTES))
                while (reply := self._parser.gets()) is not _NOTHING:
                    if isinstance(reply, hiredis.HiredisError):
                        raise RuntimeError(f"Redis refused: {reply}")
                    missing -= 1


def packed(pipelines: Pipelines) -> list[Packed]:
    return [Packed(b"".join(map(_pack, commands)), len(commands)) for commands in pipelines]
