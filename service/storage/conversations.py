"""Sharded pub/sub: what is said on channels, each heard at the server that has it.

There is one connection to each server that has some of the wanted channels; on a cluster a channel
is where its slot is. A server that gives a slot away tells who listened there (`sunsubscribe`), one
that does not have it answers MOVED, one that dies closes its connection or is silent for
`SILENCE_S`: those channels are lost, and looked for until a server takes them. What others say is
heard all the while.

A listener is told when it hears (`subscribed`) and when no more (`lost`): what was said between is
for it to find elsewhere.
"""

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Protocol

from loguru import logger
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import MovedError, RedisError

from service.instruments import Instruments
from service.storage.errors import failure_of
from service.storage.redis_node import Command, bare_connection, send, uncancelled
from service.storage.redis_servers import servers_of, slot_of
from telemetry.pulse import Pulse

PING_S = 2.0
SILENCE_S = 6.0
RECONNECT_S = 0.5
FIND_TIMEOUT_S = 2.0
# A server that has just got a slot, or lost it, may not have told the others yet.
MOVE_PAUSE_S = 0.05
CHANNELS_AT_ONCE = 5_000
# Channels found before others get the event loop: about a millisecond of work.
FOUND_AT_ONCE = 200

_PING: Command = ("PING",)


class Listener(Protocol):
    """Whoever wants to hear a channel."""

    def subscribed(self) -> None:
        """Take that all that is said from now on will be heard."""

    def lost(self) -> None:
        """Take that nothing is heard, until it is subscribed to again."""

    def heard(self, content: bytes) -> None:
        """Take what was said."""


class Conversations:
    """The channels that are listened to, and the servers that have them."""

    def __init__(self, url: str, instruments: Instruments) -> None:
        self.listeners: dict[bytes, Listener] = {}
        self._instruments = instruments
        self._servers = servers_of(url, instruments.redis_pool, (), lambda: None)
        self._open: dict[str, Conversation] = {}
        self._homes: dict[bytes, Conversation] = {}
        self._homeless: dict[bytes, None] = {}
        self._changed = asyncio.Event()
        self._has_moved = False

    @property
    def is_whole(self) -> bool:
        """Whether every channel is listened to, or has just been asked for."""
        return not self._homeless and all(
            each.is_connected for each in self._open.values() if each.channels
        )

    def listen(self, channel: str, listener: Listener) -> None:
        """Tell a listener what is said on a channel."""
        name = channel.encode()
        self.listeners[name] = listener
        if name not in self._homes:
            self._homeless[name] = None
            self._changed.set()

    def leave(self, channel: str) -> None:
        """Listen to a channel no more."""
        name = channel.encode()
        del self.listeners[name]
        self._homeless.pop(name, None)
        home = self._homes.pop(name, None)
        if home is not None:
            home.leave(name)

    async def run(self, pulse: Pulse) -> None:
        """Listen until cancelled."""
        own = pulse.part()
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await own.rest(self._changed.wait())
                    if self._has_moved:
                        self._has_moved = False
                        self._servers.doubt()
                        await asyncio.sleep(MOVE_PAUSE_S)
                    self._changed.clear()
                    if not await self._place(tasks, pulse):
                        self._servers.doubt()
                        await asyncio.sleep(RECONNECT_S)
                        self._changed.set()
        finally:
            for conversation in self._open.values():
                conversation.end()
            self._open.clear()
            for node in self._servers.nodes:
                await node.close()

    async def _place(self, tasks: asyncio.TaskGroup, pulse: Pulse) -> bool:
        """Ask for channels where they are; tell whether that could be found out."""
        started = time.perf_counter()
        try:
            for number, channel in enumerate(list(self._homeless), 1):
                if number % FOUND_AT_ONCE == 0:
                    await asyncio.sleep(0)
                async with asyncio.timeout(FIND_TIMEOUT_S):
                    url = await self._servers.url_of(channel)
                if url not in self._open:
                    one = self._open[url] = Conversation(url, self, self._instruments)
                    tasks.create_task(one.run(pulse.part()))
                home = self._open[url]
                if channel in self._homeless and not home.is_failing:
                    del self._homeless[channel]
                    self._homes[channel] = home
                    home.ask(channel)
        except (RedisError, OSError, TimeoutError) as error:
            seconds, failure = time.perf_counter() - started, failure_of(error)
            self._instruments.redis_call("subscribe", seconds, failure=failure)
            return False
        return True

    # What conversations tell

    def lost(self, channels: Iterable[bytes]) -> None:
        """Look for channels elsewhere, once their conversation is ready for more or they moved."""
        for channel in channels:
            if self._homes.pop(channel, None) is not None:
                self._homeless[channel] = None
                self.listeners[channel].lost()

    def moved(self, channels: Iterable[bytes]) -> None:
        """Look for channels that their server does not have any more."""
        self.lost(channels)
        self._has_moved = True
        self._changed.set()

    def ended(self) -> None:
        """Look again where all is, a while after a connection was lost or refused."""
        self._servers.doubt()
        self._changed.set()


class Conversation:
    """What is said with one server. After a failure it takes no channels for `RECONNECT_S`."""

    def __init__(self, url: str, owner: Conversations, instruments: Instruments) -> None:
        self._url = url
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
            connection = bare_connection(self._url)
            try:
                async with uncancelled():
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
                    self._moved(error.slot_id)
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
        elif not self._leaving.pop(channel, 0):  # nobody asked for it: the slot is another's now
            self._forget(channel)
            self._owner.moved([channel])

    def _moved(self, slot: int) -> None:
        for channel in [each for each in self._leaving if slot_of(each) == slot]:
            del self._leaving[channel]
        self._owner.moved(self.channels.pop(slot, ()))

    def _forget(self, channel: bytes) -> None:
        slot = slot_of(channel)
        self.channels[slot].discard(channel)
        if not self.channels[slot]:
            del self.channels[slot]

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
