"""The upstream that the service under load takes its quotes from, over a real WebSocket.

Quotes go out one a message, each to the connections that have subscribed to its symbol, and bear
the time at which they were due, to the nanosecond. They are written every `STEP_S`: how late that
is, is the generator's own lag. A service that does not read for so long that `MAX_WAITING_BYTES`
wait for it is sent no more until it does; what it is not sent is counted.
"""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec
from aiohttp import WSMsgType, web

from service.api.frames import text_frame
from service.feed.upstream import Subscribe, Subscribed
from service.load.errors import CannotLoad
from service.load.market import Market
from service.load.schedule import Clock, Schedule
from service.load.tally import Tallies

STEP_S = 0.001
MAX_WAITING_BYTES = 1 << 20
CLOSE_TIMEOUT_S = 1.0
_SUBSCRIBE = msgspec.json.Decoder(Subscribe)


class Upstream:
    """Serves quotes to whoever subscribes."""

    def __init__(self, clock: Clock, tallies: Tallies) -> None:
        self._clock = clock
        self._tallies = tallies
        self._symbols: dict[asyncio.WriteTransport, set[str]] = {}
        self._wanted = asyncio.Event()
        self._market: Market | None = None

    @property
    def connections(self) -> int:
        return len(self._symbols)

    @asynccontextmanager
    async def served(self, url: str) -> AsyncIterator[None]:
        """Serve at the address that the service takes its quotes from, until left.

        Raises:
            CannotLoad: it is not ws://, or nobody can listen there.
        """
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
        if parts.scheme != "ws" or host is None:
            raise CannotLoad(
                "TAPEWATCH_FEED_URL must start with ws:// for a load: it is served without TLS"
            )
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_TIMEOUT_S)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                why = (
                    "is in use: stop what uses it"
                    if error.errno == errno.EADDRINUSE
                    else f"cannot be listened on ({error.strerror or error})"
                )
                raise CannotLoad(
                    f"port {port} on {host} {why}, or set TAPEWATCH_FEED_URL to another one, "
                    "here and for the service"
                ) from None
            yield
        finally:
            await runner.cleanup()

    async def subscribed(self) -> None:
        """Wait until a service has subscribed to a symbol."""
        await self._wanted.wait()

    async def send(self, market: Market, per_s: float) -> None:
        """Send so many quotes a second until cancelled."""
        self._market = market
        self._choose()
        schedule = Schedule(per_s, self._clock.now())
        while True:
            await asyncio.sleep(STEP_S)
            skipped = schedule.skipped
            due = schedule.due(self._clock.now())
            if due:
                self._write(market, due)
            self._tallies.now.ticks_late += schedule.skipped - skipped

    def _write(self, market: Market, due: list[int]) -> None:
        tally = self._tallies.now
        if not market.is_quoting:
            tally.ticks_held_back += len(due)
            return
        messages = [market.next(time) for time in due]
        sent: set[int] = set()
        for transport, symbols in self._symbols.items():
            if transport.get_write_buffer_size() > MAX_WAITING_BYTES:
                continue
            mine = [place for place, (symbol, _) in enumerate(messages) if symbol in symbols]
            if mine:
                transport.write(b"".join([text_frame(messages[place][1]) for place in mine]))
                sent.update(mine)
        tally.ticks += len(sent)
        tally.ticks_held_back += len(due) - len(sent)
        now, record = self._clock.now(), tally.tick_lag.record
        for time in due:
            record(now - time)

    def _choose(self) -> None:
        """Quote what is subscribed to."""
        names = set().union(*self._symbols.values())
        if self._market is not None:
            self._market.quote_only(names)
        if names:
            self._wanted.set()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        # It bounds what waits by itself; the transport must not hold anything up.
        transport.set_write_buffer_limits(high=2 * MAX_WAITING_BYTES)
        self._symbols[transport] = set()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    wanted = _SUBSCRIBE.decode(message.data).symbols
                    self._symbols[transport].update(wanted)
                    self._choose()
                    answer = msgspec.json.encode(Subscribed(wanted))
                    transport.write(text_frame(answer))
        finally:
            del self._symbols[transport]
            self._choose()
        return socket
