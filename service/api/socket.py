"""One client's socket: everything it is sent goes through here, and nothing waits for it.

While the queue is empty and the transport takes more, a message is written at once. Otherwise it
queues, and one drain task writes when the transport has room again. Quotes conflate in the queue:
the newest price of each symbol, sent as one frame a group; so do portfolios: the newest of each
account. Order and account messages never conflate, are never dropped from an open socket, and go
first. So a queue is bounded by the groups' symbols, the accounts and `max_pending`, and a client is
disconnected, with the reason, once it

- has `max_pending` order, account or answer messages waiting (hard limit), or
- leaves the transport without room for `stall_timeout_s` (soft limit).

Frames are written to the transport itself, whole, so they mix with aiohttp's own pings; compressed
where the client has agreed to that. Pongs are among them: aiohttp would wait with each until the
client reads, for ever.
"""

import asyncio
import socket
from collections import deque
from dataclasses import dataclass
from enum import Enum

from aiohttp import WSMsgType, web
from loguru import logger

from service.api.frames import Frame, QuotesUpdate, quotes_update
from service.instruments import Instruments
from service.storage.group_views import PriceView

CLOSE_TIMEOUT_S = 2.0
_PONG = 0x80 | WSMsgType.PONG  # the whole of it in one frame


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What one client may take up.

    Attributes:
        write_buffer_bytes: what the transport, and what the kernel, buffers before it is full.
        max_pending: order, account and answer messages that may wait.
        stall_timeout_s: how long the transport may stay full.
        heartbeat_s: interval of pings; a client that misses one for half of it is gone.
        max_message_bytes: largest message from a client.
        max_per_account, max_total: open sockets; one for several accounts counts for each.
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
    REVOKED = ("revoked", 4403, b"the token was revoked")
    SLOW = ("slow", 4408, b"too slow: messages were waiting too long")
    SHUTDOWN = ("shutdown", 1001, b"the service stops: connect again")
    ERROR = ("error", 1011, b"the service failed: connect again")

    def __init__(self, label: str, code: int, text: bytes) -> None:
        self.label = label
        self.code = code
        self.text = text


class ClientSocket:
    """The sending side of one WebSocket.

    `symbols` None: all; `quotes_after`: of each group it is sent prices of, a sequence it has had.
    """

    __slots__ = (
        "_bytes_sent",
        "_close_task",
        "_drain_task",
        "_instruments",
        "_limits",
        "_messages",
        "_portfolios",
        "_protocol",
        "_quotes",
        "_request",
        "_transport",
        "_websocket",
        "_window_bits",
        "close_reason",
        "quotes_after",
        "symbols",
    )

    def __init__(
        self,
        request: web.Request,
        websocket: web.WebSocketResponse,
        limits: SocketLimits,
        instruments: Instruments,
    ) -> None:
        """Take over a prepared WebSocket.

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
        self._bytes_sent = instruments.socket_bytes_sent
        self._window_bits = int(websocket.compress)
        self._messages: deque[bytes] = deque()
        self._quotes: dict[str, _WaitingQuotes] = {}
        self._portfolios: dict[int, Frame] = {}
        self._drain_task: asyncio.Task[None] | None = None
        self._close_task: asyncio.Task[bool] | None = None
        self.close_reason: CloseReason | None = None
        self.symbols: frozenset[str] | None = None
        self.quotes_after: dict[str, int] = {}

    @property
    def wants_prices(self) -> bool:
        return self.symbols is None or bool(self.symbols)

    @property
    def is_closing(self) -> bool:
        return self.close_reason is not None or self._transport.is_closing()

    def send_quotes(self, update: QuotesUpdate) -> bool:
        """Send prices, or let them wait; tell whether they replaced others that waited."""
        if self._is_idle:
            self._write_open(update.frame)
            return False
        if self.is_closing:
            return False
        waiting = self._quotes.get(update.group)
        if waiting is None:
            self._quotes[update.group] = _WaitingQuotes(update.sequence, dict(update.quotes))
        else:
            waiting.sequence = update.sequence
            waiting.quotes.update(update.quotes)
        self._start_draining()
        return waiting is not None

    def send_portfolio(self, account_id: int, frame: Frame) -> bool:
        """Send what an account is worth, or let it wait; tell whether it replaced one that did."""
        if self._is_idle:
            self._write_open(frame)
            return False
        if self.is_closing:
            return False
        conflates = account_id in self._portfolios
        self._portfolios[account_id] = frame
        self._start_draining()
        return conflates

    def withdraw_portfolio(self, account_id: int) -> bool:
        """Drop a portfolio that waits, since something has happened to its account; tell if any."""
        return self._portfolios.pop(account_id, None) is not None

    def choose(self, symbols: frozenset[str] | None) -> None:
        """Send prices of these symbols only, from now on; None: of all."""
        self.symbols = symbols
        if symbols is not None:
            for waiting in self._quotes.values():
                for name in waiting.quotes.keys() - symbols:
                    del waiting.quotes[name]

    def send(self, name: str, frame: Frame) -> None:
        """Send a message that must not be lost; `name` is its type."""
        if self.is_closing:
            self._instruments.socket_dropped("closed")
            return
        self._instruments.socket_sent(name)
        self._send(frame.for_window(self._window_bits))

    def pong(self, payload: bytes) -> None:
        """Answer a ping, whose payload has 125 bytes at most; it waits as messages do."""
        if not self.is_closing:
            self._send(bytes((_PONG, len(payload))) + payload)

    def _send(self, data: bytes) -> None:
        if self._is_idle:
            self._write(data)
            return
        if len(self._messages) >= self._limits.max_pending:
            self.close(CloseReason.SLOW)
            return
        self._messages.append(data)
        self._start_draining()

    def close(self, reason: CloseReason) -> None:
        """Close with a code and a reason; what waits is dropped. Once is enough."""
        if self.close_reason is not None:
            return
        self.close_reason = reason
        dropped = self._waiting
        if dropped:
            self._instruments.socket_dropped("closed", dropped)
        self._messages.clear()
        self._quotes.clear()
        self._portfolios.clear()
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
            self._instruments.sockets_waiting.value += 1
            self._drain_task.add_done_callback(self._drained)

    async def _drain(self) -> None:
        try:
            while self._waiting and not self.is_closing:
                async with asyncio.timeout(self._limits.stall_timeout_s):
                    await self._request.writer.drain()
                self._instruments.socket_had_waiting(self._waiting)
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

    def _drained(self, task: asyncio.Task[None]) -> None:
        self._instruments.sockets_waiting.value -= 1

    def _write_waiting(self) -> None:
        while self._messages and self._takes_more:
            self._write(self._messages.popleft())
        while self._quotes and self._takes_more:
            group = next(iter(self._quotes))
            waiting = self._quotes.pop(group)
            if waiting.quotes:
                update = quotes_update(group, waiting.sequence, waiting.quotes)
                self._write(update.frame.for_window(self._window_bits))
        while self._portfolios and self._takes_more:
            frame = self._portfolios.pop(next(iter(self._portfolios)))
            self._write(frame.for_window(self._window_bits))

    def _write_open(self, frame: Frame) -> None:
        if not self.is_closing:
            self._write(frame.for_window(self._window_bits))

    def _write(self, data: bytes) -> None:
        self._transport.write(data)
        self._bytes_sent.value += len(data)

    @property
    def _is_idle(self) -> bool:
        return self._drain_task is None and not self._protocol.writing_paused

    @property
    def _waiting(self) -> int:
        """Messages that wait."""
        return len(self._messages) + len(self._quotes) + len(self._portfolios)

    @property
    def _takes_more(self) -> bool:
        return not self._protocol.writing_paused and not self.is_closing


class _WaitingQuotes:
    """The newest prices of a group that a socket could not take yet."""

    __slots__ = ("quotes", "sequence")

    def __init__(self, sequence: int, quotes: dict[str, PriceView]) -> None:
        self.sequence = sequence
        self.quotes = quotes
