"""The WebSocket feed: a pool of connections to an upstream, each with a share of the symbols.

A connection that drops, refuses, or is silent for `silence_s` is made anew after a jittered,
growing wait, and subscribes again to its share; the wait starts over only with a message that can
be read, so that an upstream that accepts and drops is not hammered. The feed is healthy while every
connection that has a share has had a readable message since it was made. Symbols that are added
meanwhile are subscribed to with the next message, and go to the connection with the smallest share;
a symbol never changes its connection.

What cannot be read is counted and skipped and never ends a connection; a frame above
`MAX_FRAME_BYTES` does. Messages: service/feed/upstream.py.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

import aiohttp
from loguru import logger

from service.domain.instrument import Symbol
from service.domain.quote import QuoteRefusal
from service.feed.backoff import Backoff
from service.feed.feed import Clock, OnMalformed, OnQuote, Sleep
from service.feed.upstream import MAX_FRAME_BYTES, FrameReader, encode_subscription
from telemetry.pulse import Pulse

_TEXT = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """Bounds of the connections, in seconds.

    Attributes:
        connect_s: to connect and to send a subscription.
        silence_s: without any message, after which, or a tenth later, a connection counts as dead.
        heartbeat_s: between pings; an answer must come within half of it.
        close_s: for the closing handshake.
        first_wait_s, longest_wait_s: before the first and before any further attempt.
    """

    connect_s: float = 10.0
    silence_s: float = 30.0
    heartbeat_s: float = 10.0
    close_s: float = 2.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0


DEFAULT_LIMITS = WebSocketLimits()
# Of the silence allowed: to set a timer with each message takes longer than to decode it.
SILENCE_STEP = 0.1
DEFAULT_CONNECTIONS = 2
IDLE_S = 1.0  # between looks for a share, in a connection that has none


class WebSocketFeed:
    """Quotes of an upstream. One `run` at a time."""

    def __init__(
        self,
        url: str,
        symbols: Callable[[], Mapping[str, Symbol]],
        random: Random,
        clock: Clock,
        *,
        on_malformed: OnMalformed,
        on_reconnect: Callable[[], None],
        connections: int = DEFAULT_CONNECTIONS,
        limits: WebSocketLimits = DEFAULT_LIMITS,
        pulse: Pulse | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Set up the feed.

        Args:
            url: ws:// or wss://.
            symbols: the symbols to subscribe to, as of now; those there may grow.
            random: jitters the waits.
            on_malformed: told of every message that cannot be read.
            on_reconnect: told of every attempt to connect again.
            pulse: each connection beats with all it hears and every attempt; a silent upstream
                makes attempts, so a market that is quiet or closed does not look like a hang.

        Raises:
            ValueError: another kind of URL, or fewer than one connection.
        """
        if not url.startswith(("ws://", "wss://")):
            raise ValueError("the URL of the feed must start with ws:// or wss://")
        if connections < 1:
            raise ValueError(f"the feed needs at least 1 connection, not {connections}")
        self._url = url
        self._symbols = symbols
        self._clock = clock
        self._on_malformed = on_malformed
        self._on_reconnect = on_reconnect
        self._limits = limits
        self._pulse = Pulse() if pulse is None else pulse
        self._sleep = sleep
        self._reader = FrameReader()
        self._shared = 0
        self._lines = [
            _Line(number, Backoff(limits.first_wait_s, limits.longest_wait_s, random))
            for number in range(connections)
        ]
        self._last_message_time: int | None = None

    @property
    def healthy(self) -> bool:
        """Tell whether every connection with a share has had a message since it was made."""
        if self._last_message_time is None:
            return False
        return all(line.has_heard for line in self._lines if line.share)

    @property
    def last_message_time(self) -> int | None:
        return self._last_message_time

    async def run(self, on_quote: OnQuote) -> None:
        """Deliver quotes until cancelled."""
        timeout = aiohttp.ClientTimeout(total=None, connect=self._limits.connect_s)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(self._keep(line, session, on_quote, self._pulse.part()))

    async def _keep(
        self, line: "_Line", session: aiohttp.ClientSession, on_quote: OnQuote, pulse: Pulse
    ) -> None:
        """Keep a connection up."""
        self._share_out(self._symbols())
        while not line.share:
            await self._sleep(IDLE_S)
            pulse.beat()
            self._share_out(self._symbols())
        while True:
            try:
                await self._connect(line, session, on_quote, pulse)
                cause = "closed by the upstream"
            except TimeoutError:
                cause = "no answer in time"
            except (aiohttp.ClientError, OSError) as error:
                # Its text may hold the URL, and that a password.
                cause = type(error).__name__
            finally:
                line.has_heard = False
            pulse.beat()
            wait_s = line.backoff.next_wait_s()
            logger.warning(
                "feed connection {} lost ({}), next attempt in {:.2f} s", line.number, cause, wait_s
            )
            await self._sleep(wait_s)
            pulse.beat()
            self._on_reconnect()

    async def _connect(
        self, line: "_Line", session: aiohttp.ClientSession, on_quote: OnQuote, pulse: Pulse
    ) -> None:
        """Connect, subscribe and deliver until the connection ends.

        Raises:
            TimeoutError: no connection in time, or silence.
            aiohttp.ClientError, OSError: refused or lost.
        """
        limits = self._limits
        async with asyncio.timeout(limits.connect_s):
            socket = await session.ws_connect(
                self._url,
                heartbeat=limits.heartbeat_s,
                max_msg_size=MAX_FRAME_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=limits.close_s),
            )
        clock = asyncio.get_running_loop().time
        step_s = SILENCE_STEP * limits.silence_s
        put_off = 0.0
        subscribed: set[str] = set()
        async with socket, asyncio.timeout(limits.silence_s) as silence:
            while True:
                if len(subscribed) < len(line.share):
                    await self._subscribe(line, socket, subscribed)
                now = clock()
                if now >= put_off:
                    put_off = now + step_s
                    silence.reschedule(put_off + limits.silence_s)
                message = await socket.receive()
                pulse.beat()
                symbols = self._symbols()
                if self._shared < len(symbols):
                    self._share_out(symbols)
                if message.type in _TEXT:
                    self._take(line, message.data, symbols, on_quote)
                elif message.type is aiohttp.WSMsgType.ERROR:
                    raise aiohttp.ClientError("protocol error")
                else:
                    return

    async def _subscribe(
        self, line: "_Line", socket: aiohttp.ClientWebSocketResponse, subscribed: set[str]
    ) -> None:
        """Subscribe to what of the connection's share is not subscribed yet."""
        wanted = [name for name in line.share if name not in subscribed]
        async with asyncio.timeout(self._limits.connect_s):
            await socket.send_str(encode_subscription(wanted).decode())
        subscribed.update(wanted)

    def _share_out(self, symbols: Mapping[str, Symbol]) -> None:
        """Give each symbol that is new to a connection."""
        known = {name for line in self._lines for name in line.share}
        for name in sorted(symbols.keys() - known):
            min(self._lines, key=_share_size).share.append(name)
        self._shared = sum(len(line.share) for line in self._lines)

    def _take(
        self,
        line: "_Line",
        data: str | bytes,
        symbols: Mapping[str, Symbol],
        on_quote: OnQuote,
    ) -> None:
        frame = self._reader.read(data, symbols)
        for _ in range(frame.malformed):
            self._on_malformed(QuoteRefusal.MALFORMED)
        if not frame.readable:
            return
        self._last_message_time = self._clock()
        if not line.has_heard:
            line.has_heard = True
            line.backoff.reset()
            logger.info("feed connection {} is up", line.number)
        for quote in frame.quotes:
            on_quote(quote)


class _Line:
    """One connection of the pool."""

    __slots__ = ("backoff", "has_heard", "number", "share")

    def __init__(self, number: int, backoff: Backoff) -> None:
        self.number = number
        self.backoff = backoff
        self.has_heard = False
        self.share: list[str] = []


def _share_size(line: _Line) -> int:
    return len(line.share)
