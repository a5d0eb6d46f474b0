"""What a crowd takes of a machine at least: a server that does for it what must be, and no more.

Run as `python -m tests.bench.doors_bare`; it prints its port. It believes every token, switches
every whole handshake to a WebSocket, pings as often as the service, and sends prices as often until
it is sent anything, as by who wants none. It gives up slow senders after the service's times. There
are no accounts, no trader's load and nothing to look after.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import uvloop

from service.api.connections import HEAD_TIMEOUT_S
from service.api.frames import text_frame
from service.api.reading import BODY_TIMEOUT_S
from service.api.socket import SocketLimits
from service.loops.prices import SHOW_INTERVAL_S
from tests.bench.machine import allow_sockets
from tests.bench.raw_socket import HOST

LIMITS = SocketLimits()
BACKLOG = 1_024
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PRICES = text_frame(b"x" * 500)
"""As long as the service's prices of a few symbols."""
_PING = b"\x89\x00"
_HEAD_END = b"\r\n\r\n"


class Bare(asyncio.Protocol):
    """One connection; it gives itself up, by one timer at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle
        self._head = b""
        self._is_open = False
        self._wants_prices = True
        self._full_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=LIMITS.write_buffer_bytes)
        self._timer = self._loop.call_later(HEAD_TIMEOUT_S, self._refuse)

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()

    def pause_writing(self) -> None:
        self._full_at = self._loop.time()

    def resume_writing(self) -> None:
        self._full_at = None

    def data_received(self, data: bytes) -> None:
        if self._is_open:
            if self._wants_prices:
                self._wants_prices = False
                self._again(LIMITS.heartbeat_s, self._ping)
            return
        is_body, self._head = _HEAD_END in self._head, self._head + data
        if is_body or _HEAD_END not in self._head:
            return
        if self._head.startswith(b"POST "):
            self._again(BODY_TIMEOUT_S, self._refuse)
            return
        self._is_open = True
        self._transport.write(SWITCHED)
        self._show()

    def _again(self, seconds: float, call: Callable[[], None]) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_later(seconds, call)

    def _ping(self) -> None:
        self._transport.write(_PING)
        self._again(LIMITS.heartbeat_s, self._ping)

    def _show(self) -> None:
        if self._full_at is None:
            self._transport.write(PRICES)
        elif self._loop.time() - self._full_at > LIMITS.stall_timeout_s:
            self._transport.abort()
            return
        self._again(SHOW_INTERVAL_S, self._show)

    def _refuse(self) -> None:
        self._transport.write(LATE)
        self._transport.close()


async def serve() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Bare, HOST, 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    allow_sockets()
    uvloop.run(serve())
