"""One conversation with a server of Redis: channels are asked for, and what is said is handed on.

It says when it hears a channel no more: the server closed the connection, was silent for
`SILENCE_S`, answered MOVED, or gave the slot away, which it tells by itself (`sunsubscribe`).
"""

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Protocol

from loguru import logger
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import MovedError, RedisError

from service.instruments import Instruments
from service.storage.errors import failure_of
from service.storage.redis_node import (
    Command,
    bare_connection,
    closed_is_lost,
    send,
    uncancelled,
)
from service.storage.redis_servers import slot_of
from telemetry.pulse import Pulse

PING_S = 2.0
SILENCE_S = 6.0
RECONNECT_S = 0.5
CHANNELS_AT_ONCE = 5_000

_PING: Command = ("PING",)


class Listener(Protocol):
    """Whoever wants to hear a channel."""

    def subscribed(self) -> None:
        """Take that all that is said from now on will be heard."""

    def lost(self) -> None:
        """Take that nothing is heard, until it is subscribed to again."""

    def heard(self, content: bytes) -> None:
        """Take what was said."""


class Owner(Protocol):
    """Whoever knows which channels are wanted, and where they are."""

    @property
    def listeners(self) -> Mapping[bytes, Listener]: ...

    def lost(self, channels: Iterable[bytes]) -> None:
        """Take that channels are not heard any more."""

    def moved(self, channels: Iterable[bytes]) -> None:
        """Take that channels are another server's."""

    def ended(self) -> None:
        """Take that after a failure channels are taken again."""


class Conversation:
    """What is said with one server. After a failure it takes no channels for `RECONNECT_S`."""

    def __init__(self, url: str, owner: Owner, instruments: Instruments) -> None:
        self.url = url
        self._owner = owner
        self._instruments = instruments
        self._unsaid: list[Command] = []
        self._wake = asyncio.Event()
        self._leaving: Counter[bytes] = Counter()
        self.channels: defaultdict[int, set[bytes]] = defaultdict(set)
        self.is_connected = False
        self.is_failing = False

    def ask(self, channel: bytes) -> None:
        """Subscribe to a channel as soon as the server can be told."""
        self.channels[slot_of(channel)].add(channel)
        self._say(("SSUBSCRIBE", channel))

    def leave(self, channel: bytes) -> None:
        """Hear a channel no more."""
        self._forget(channel)
        self._leaving[channel] += 1
        self._say(("SUNSUBSCRIBE", channel))

    async def run(self, pulse: Pulse) -> None:
        """Converse whenever there is something to hear, until cancelled."""
        while True:
            await pulse.rest(self._wake.wait())
            started = time.perf_counter()
            connection = bare_connection(self.url)
            try:
                async with uncancelled():
                    with closed_is_lost():
                        await connection.connect()  # type: ignore[no-untyped-call]
                self._instruments.redis_call("subscribe", time.perf_counter() - started)
                self.is_connected = True
                await self._converse(connection, pulse)
            except (RedisError, OSError, TimeoutError) as error:
                if not self.is_connected:
                    seconds, failure = time.perf_counter() - started, failure_of(error)
                    self._instruments.redis_call("subscribe", seconds, failure=failure)
                else:
                    logger.warning("events by subscription lost, polling instead: {!r}", error)
            finally:
                self.end()
                await connection.disconnect(nowait=True)
            await asyncio.sleep(RECONNECT_S)
            pulse.beat()
            self.is_failing = False
            self._owner.ended()

    def end(self) -> None:
        """Hear nothing more."""
        self.is_connected, self.is_failing = False, True
        self._unsaid.clear()
        self._wake.clear()
        self._leaving.clear()
        lost = [channel for channels in self.channels.values() for channel in channels]
        self.channels.clear()
        self._owner.lost(lost)

    async def _converse(self, connection: AbstractConnection, pulse: Pulse) -> None:
        speaking = asyncio.create_task(self._speak(connection))
        try:
            while not speaking.done():
                try:
                    message = await connection.read_response(timeout=SILENCE_S)
                except MovedError as error:
                    self.lose(error.slot_id)
                    continue
                pulse.beat()
                if message is None:  # redis-py's way to say that the time is up
                    raise TimeoutError(f"Redis was silent for {SILENCE_S:g} s")
                if len(message) == 3:  # otherwise a pong
                    self._take(*message)
            await speaking
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    def _take(self, kind: bytes, channel: bytes, content: bytes) -> None:
        listener = self._owner.listeners.get(channel)
        if kind == b"smessage":
            if listener is not None:
                listener.heard(content)
        elif kind == b"ssubscribe":
            if listener is not None:
                listener.subscribed()
        elif self._leaving[channel] > 1:
            self._leaving[channel] -= 1
        elif not self._leaving.pop(channel, 0) and self._forget(channel):
            self._owner.moved([channel])  # nobody asked for it: the slot is another's now

    def lose(self, slot: int) -> None:
        """Take that the channels of a slot are another server's."""
        for channel in [each for each in self._leaving if slot_of(each) == slot]:
            del self._leaving[channel]
        self._owner.moved(self.channels.pop(slot, ()))

    def _forget(self, channel: bytes) -> bool:
        """Take a channel out; tell whether it was there."""
        slot = slot_of(channel)
        channels = self.channels.get(slot, set())
        if channel not in channels:
            return False
        channels.discard(channel)
        if not channels:
            del self.channels[slot]
        return True

    def _say(self, command: Command) -> None:
        self._unsaid.append(command)
        self._wake.set()

    async def _speak(self, connection: AbstractConnection) -> None:
        """Say what is wanted, and ping, so that a silent connection is known to be a dead one."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_S):
                    await self._wake.wait()
            said, self._unsaid = self._unsaid[:CHANNELS_AT_ONCE], self._unsaid[CHANNELS_AT_ONCE:]
            if not self._unsaid:
                self._wake.clear()
            async with uncancelled():
                await send(connection, said or [_PING])
