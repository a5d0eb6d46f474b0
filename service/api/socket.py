"""One client's socket: everything it is sent goes through here, and nothing waits for it.

While the queue is empty and the transport takes more, a message is written at once. Otherwise it
queues, and one drain task writes when the transport has room again. Quotes conflate in the queue:
the newest price of each symbol, sent as one frame. Order and account messages never conflate and
are never dropped from an open socket. So a queue is bounded by the group's symbols and
`max_pending`, and a client is disconnected, with the reason, once it

- has `max_pending` order, account or answer messages waiting (hard limit), or
- leaves the transport without room for `stall_timeout_s` (soft limit).

Frames are written to the transport itself, whole, so they mix with aiohttp's own pings and pongs.
"""

import asyncio
import socket
from collections import deque
from dataclasses import dataclass
from enum import Enum

from aiohttp import web
from loguru import logger

from service.api.frames import QuotesUpdate, quotes_update, text_frame
from service.instruments import Instruments
from service.storage.group_views import PriceView

CLOSE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What one client may take up.

    Attributes:
        write_buffer_bytes: what the transport, and what the kernel, buffers before it is full.
        max_pending: order, account and answer messages that may wait.
        stall_timeout_s: how long the transport may stay full.
        heartbeat_s: interval of pings; a client that misses one for half of it is gone.
        max_message_bytes: largest message from a client.
        max_per_account, max_total: open sockets.
    """

    write_buffer_bytes: int = 64 * 1024
    max_pending: int = 256
    stall_timeout_s: float = 5.0
    heartbeat_s: float = 30.0
    max_message_bytes: int = 16 * 1024
    max_per_account: int = 10
    max_total: int = 10_000


class CloseReason(Enum):
    """Why the service closes a socket: metric label, close code and text."""

    EXPIRED = ("expired", 4401, b"the token has expired: connect with a new one")
    SLOW = ("slow", 4408, b"too slow: messages were waiting too long")
    SHUTDOWN = ("shutdown", 1001, b"the service stops: connect again")
    ERROR = ("error", 1011, b"the service failed: connect again")

    def __init__(self, label: str, code: int, text: bytes) -> None:
        self.label = label
        self.code = code
        self.text = text


class ClientSocket:
    """The sending side of one WebSocket. `symbols` None: all; `quotes_after`: a sequence sent."""

    __slots__ = (
        "_close_task",
        "_drain_task",
        "_group",
        "_instruments",
        "_limits",
        "_messages",
        "_protocol",
        "_quotes",
        "_quotes_sequence",
        "_request",
        "_transport",
        "_websocket",
        "close_reason",
        "quotes_after",
        "sequence",
        "symbols",
    )

    def __init__(
        self,
        request: web.Request,
        websocket: web.WebSocketResponse,
        limits: SocketLimits,
        instruments: Instruments,
    ) -> None:
        """Take over a prepared WebSocket without compression.

        Raises:
            ConnectionResetError: the client is gone already.
        """
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        transport.set_write_buffer_limits(high=limits.write_buffer_bytes)
        # The kernel would buffer megabytes of old prices for a slow client.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.write_buffer_bytes)
        self._request = request
        self._websocket = websocket
        self._transport = transport
        self._protocol = request.protocol
        self._limits = limits
        self._instruments = instruments
        self._messages: deque[bytes] = deque()
        self._quotes: dict[str, PriceView] = {}
        self._group = ""
        self._quotes_sequence = 0
        self._drain_task: asyncio.Task[None] | None = None
        self._close_task: asyncio.Task[bool] | None = None
        self.close_reason: CloseReason | None = None
        self.symbols: frozenset[str] | None = None
        self.quotes_after = 0
        self.sequence = 0

    @property
    def is_closing(self) -> bool:
        return self.close_reason is not None or self._transport.is_closing()

    def send_quotes(self, update: QuotesUpdate) -> bool:
        """Send prices, or let them wait; tell whether they replaced others that waited."""
        if self._drain_task is None and not self._protocol.writing_paused:
            if not self._transport.is_closing() and self.close_reason is None:
                self._transport.write(update.frame)
            return False
        if self.is_closing:
            return False
        conflates = bool(self._quotes)
        self._quotes.update(update.quotes)
        self._group, self._quotes_sequence = update.group, update.sequence
        self._start_draining()
        return conflates

    def choose(self, symbols: frozenset[str] | None) -> None:
        """Send prices of these symbols only, from now on; None: of all."""
        self.symbols = symbols
        if symbols is not None:
            for name in self._quotes.keys() - symbols:
                del self._quotes[name]

    def send(self, name: str, payload: bytes) -> None:
        """Send a message that must not be lost; `name` is its type."""
        if self.is_closing:
            self._instruments.socket_dropped("closed")
            return
        self._instruments.socket_sent(name)
        frame = text_frame(payload)
        if self._drain_task is None and not self._protocol.writing_paused:
            self._transport.write(frame)
            return
        if len(self._messages) >= self._limits.max_pending:
            self.close(CloseReason.SLOW)
            return
        self._messages.append(frame)
        self._start_draining()

    def close(self, reason: CloseReason) -> None:
        """Close with a code and a reason; what waits is dropped. Once is enough."""
        if self.close_reason is not None:
            return
        self.close_reason = reason
        dropped = len(self._messages) + bool(self._quotes)
        if dropped:
            self._instruments.socket_dropped("closed", dropped)
        self._messages.clear()
        self._quotes.clear()
        # Without draining: a client that does not read would hold it up.
        self._close_task = asyncio.create_task(
            self._websocket.close(code=reason.code, message=reason.text, drain=False)
        )
        # A transport closes only when its buffer is empty, which a slow client's never is.
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._transport.abort)

    async def finish(self) -> None:
        """End what runs for this socket, when its client is gone or told to go."""
        if self._drain_task is not None:
            self._drain_task.cancel()
            await asyncio.wait((self._drain_task,))
        if self._close_task is not None:
            await asyncio.wait((self._close_task,))

    def _start_draining(self) -> None:
        if self._drain_task is None:
            self._drain_task = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        try:
            while (self._messages or self._quotes) and not self.is_closing:
                async with asyncio.timeout(self._limits.stall_timeout_s):
                    await self._request.writer.drain()
                self._write_waiting()
        except TimeoutError:
            self.close(CloseReason.SLOW)
        except ConnectionError:
            return  # the client is gone: its handler ends by itself
        except Exception as error:
            logger.opt(exception=error).error("writing to a socket failed")
            self.close(CloseReason.ERROR)
        finally:
            self._drain_task = None

    def _write_waiting(self) -> None:
        while self._messages and self._takes_more:
            self._transport.write(self._messages.popleft())
        if self._quotes and self._takes_more:
            update = quotes_update(self._group, self._quotes_sequence, self._quotes)
            self._quotes = {}
            self._transport.write(update.frame)

    @property
    def _takes_more(self) -> bool:
        return not self._protocol.writing_paused and not self.is_closing
