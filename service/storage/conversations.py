"""Sharded pub/sub: what is said on channels, each heard at the server that has it.

There is one connection to each server that has some of the wanted channels; on a cluster a channel
is where its slot is. Channels whose server does not have them any more, or is lost, are looked for
until one takes them; what others say is heard all the while. Of a server that stands still nobody
is told: who has what is asked every `LOOK_S` as well.

A listener is told when it hears (`subscribed`) and when no more (`lost`): what was said between is
for it to find elsewhere.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable

from redis.exceptions import RedisError

from service.instruments import Instruments
from service.storage.conversation import Conversation, Listener
from service.storage.errors import failure_of
from service.storage.redis_node import uncancelled
from service.storage.redis_servers import servers_of
from telemetry.pulse import Pulse

FIND_TIMEOUT_S = 1.0
FIND_AGAIN_S = 0.5
LOOK_S = 1.0
# A server that has just got a slot, or lost it, may not have told the others yet.
MOVE_PAUSE_S = 0.05
# Channels found before others get the event loop: about a millisecond of work.
FOUND_AT_ONCE = 200

_SOME_CHANNEL = b"settings"


class Conversations:
    """The channels that are listened to, and the servers that have them."""

    def __init__(self, url: str, instruments: Instruments) -> None:
        self.listeners: dict[bytes, Listener] = {}
        self._instruments = instruments
        self._servers = servers_of(url, instruments.redis_pool, (), self._note_moves)
        self._open: dict[str, Conversation] = {}
        self._homes: dict[bytes, Conversation] = {}
        self._homeless: dict[bytes, None] = {}
        self._changed = asyncio.Event()
        self._has_moved = False
        self._has_new_owners = False

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
        self._changed.set()  # where it ran before, nothing is listened to any more
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._look(pulse.part()))
                while True:
                    await own.rest(self._changed.wait())
                    if self._has_moved:
                        self._has_moved = False
                        self._servers.doubt()
                        await asyncio.sleep(MOVE_PAUSE_S)
                    self._changed.clear()
                    if not await self._place(tasks, pulse):
                        self._servers.doubt()
                        await asyncio.sleep(FIND_AGAIN_S)
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
                url = await self._find(channel)
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

    async def _look(self, pulse: Pulse) -> None:
        """Find out now and then who has what: of a server that stands still nobody is told."""
        while True:
            await asyncio.sleep(LOOK_S)
            pulse.beat()
            self._servers.doubt()
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._find(_SOME_CHANNEL)
                if self._has_new_owners:
                    for home in list(self._open.values()):
                        await self._check(home)
                    self._has_new_owners = False

    async def _check(self, home: Conversation) -> None:
        for slot, channels in list(home.channels.items()):
            if channels and await self._find(next(iter(channels))) != home.url:
                home.lose(slot)

    async def _find(self, channel: bytes) -> str:
        async with asyncio.timeout(FIND_TIMEOUT_S), uncancelled():
            return await self._servers.url_of(channel)

    def _note_moves(self) -> None:
        self._has_new_owners = True

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
