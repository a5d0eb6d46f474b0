"""Connections: how many there may be, and how long a client may take over what it sends.

One too many, in all or from an address, is told so (503 or 429) before anything it asks is read,
and closed; at most `REFUSED_AT_ONCE` are told, the rest is cut. A request's head must be there
`HEAD_TIMEOUT_S` after the connection, or after its first byte on one that was kept open: whoever
sends it byte by byte is answered 408. Its body has `service.api.reading.BODY_TIMEOUT_S`, and its
answer must be taken within `ANSWER_TIMEOUT_S`. A WebSocket is a request that goes on.

aiohttp limits none of this itself. The seams are its public classes: a `web.Server` that makes
`web.RequestHandler`s of our own, which the gateway tells when a request begins and ends.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from service.api.addresses import Addresses
from service.api.errors import ApiError, TransportCode

HEAD_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
REFUSED_AT_ONCE = 100
CLOSE_TIMEOUT_S = 2.0
RETRY_S = 5

Refused = Callable[[int, float], None]
_BAD_REQUEST = ApiError(TransportCode.BAD_REQUEST, "this is not HTTP/1.1")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections there may be, in all and from an address."""

    total: float = math.inf
    per_address: float = math.inf


class Connections:
    """Counts connections; `refused` is told the status of each that is not served, and its age."""

    def __init__(self, limits: ConnectionLimits, addresses: Addresses, refused: Refused) -> None:
        self._limits = limits
        self._addresses = addresses
        self._per_address: Counter[str] = Counter()
        self._total = 0
        self._refused_now = 0
        self.refused = refused

    def enter(self, peer: str) -> "Visit":
        """Count a connection from the address of its other end until its `Visit` leaves."""
        address = self._addresses.counted(peer)
        refusal = self._refusal(address)
        if refusal is not None:
            self._refused_now += 1
            return Visit(self, None, refusal, is_cut=self._refused_now > REFUSED_AT_ONCE)
        self._total += 1
        if address is not None:
            self._per_address[address] += 1
        return Visit(self, address, None)

    def leave(self, visit: "Visit") -> None:
        """Count it no more."""
        if visit.refusal is not None:
            self._refused_now -= 1
            return
        self._total -= 1
        if visit.address is not None:
            self._per_address[visit.address] -= 1
            if not self._per_address[visit.address]:
                del self._per_address[visit.address]

    def _refusal(self, address: str | None) -> ApiError | None:
        limits = self._limits
        retry = {"Retry-After": str(RETRY_S)}
        if self._total >= limits.total:
            return ApiError(
                TransportCode.UNAVAILABLE,
                f"the service has {limits.total:g} connections, and takes no more: try again later",
                headers=retry,
            )
        if address is not None and self._per_address[address] >= limits.per_address:
            return ApiError(
                TransportCode.TOO_MANY_CONNECTIONS,
                f"an address may have {limits.per_address:g} connections: close some",
                headers=retry,
            )
        return None


@dataclass(frozen=True, slots=True)
class Visit:
    """One connection that is counted, or refused; `is_cut` one that is not even told."""

    connections: Connections
    address: str | None
    refusal: ApiError | None
    is_cut: bool = False


class Connection(web.RequestHandler):
    """A client's connection. The gateway tells it when a request has begun and when it is done."""

    __slots__ = (
        "_began_at",
        "_connections",
        "_deadline",
        "_headers",
        "_is_busy",
        "_is_reading",
        "_visit",
    )

    def __init__(
        self,
        manager: web.Server,
        connections: Connections,
        headers: Mapping[str, str],
        *,
        loop: asyncio.AbstractEventLoop,
        **options: Any,
    ) -> None:
        super().__init__(manager, loop=loop, **options)
        self._connections = connections
        self._headers = headers
        self._visit: Visit | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._began_at = 0.0
        self._is_busy = self._is_reading = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._visit = self._connections.enter(peer[0] if peer else "")
        self._read()
        if self._visit.is_cut:
            self._connections.refused(HTTPStatus.SERVICE_UNAVAILABLE, 0.0)
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._visit is not None:
            self._connections.leave(self._visit)
            self._visit = None
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._visit is not None and self._visit.refusal is not None:
            self._refuse(self._visit.refusal)
            return
        if not (self._is_busy or self._is_reading):
            self._read()
        super().data_received(data)

    def begin(self) -> None:
        """Take that a request's head is there."""
        self._is_busy, self._is_reading = True, False
        self._in_time()

    def end(self) -> None:
        """Take that a request is answered, but for what its client has not taken yet."""
        self._is_busy = False
        if self.transport is not None:  # a timer would keep what is gone in memory
            self._within(ANSWER_TIMEOUT_S, self._is_not_taken)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be parsed without quoting it."""
        super().handle_error(request, status, exc, message)
        error = _BAD_REQUEST
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            error = ApiError(TransportCode.INTERNAL, "the service failed")
        response = error.response()
        response.headers.update(self._headers)
        response.force_close()
        self._connections.refused(response.status, self._loop.time() - self._began_at)
        return response

    def _read(self) -> None:
        self._is_reading = True
        self._began_at = self._loop.time()
        self._within(HEAD_TIMEOUT_S, self._is_late)

    def _is_late(self) -> None:
        self._deadline = None
        if self._visit is not None and self._visit.refusal is not None:
            self.force_close()
            return
        self._refuse(
            ApiError(
                TransportCode.REQUEST_TIMEOUT,
                f"the head of a request did not arrive within {HEAD_TIMEOUT_S:g} s",
            )
        )

    def _is_not_taken(self) -> None:
        self._deadline = None
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.transport.abort()

    def _refuse(self, error: ApiError) -> None:
        if self.transport is not None:
            response = error.response()
            self.transport.write(_on_the_wire(response, self._headers))
            self._connections.refused(response.status, self._loop.time() - self._began_at)
        self.force_close()

    def force_close(self) -> None:
        """Close, and be gone soon, whether the client takes what was written or not."""
        transport = self.transport
        super().force_close()
        if transport is not None:
            # A transport closes once its buffer is empty, which that of a slow client never is.
            self._within(CLOSE_TIMEOUT_S, transport.abort)

    def _within(self, seconds: float, missed: Callable[[], None]) -> None:
        self._in_time()
        self._deadline = self._loop.call_later(seconds, missed)

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(web.Server):
    def __init__(self, of: web.Server, connect: Callable[["_Server"], Connection]) -> None:
        super().__init__(of.request_handler, request_factory=of.request_factory)
        self._connect = connect

    def __call__(self) -> Connection:
        return self._connect(self)


class ConnectionRunner(web.AppRunner):
    """Runs an application on `Connection`s; `options` are those of `web.RequestHandler`.

    `headers` go with what is answered without the application.
    """

    __slots__ = ("_connections", "_headers", "_options")

    def __init__(
        self,
        app: web.Application,
        connections: Connections,
        headers: Mapping[str, str],
        **options: Any,
    ) -> None:
        shutdown_timeout = options.pop("shutdown_timeout")
        super().__init__(app, shutdown_timeout=shutdown_timeout, **options)
        self._connections = connections
        self._headers = headers
        self._options = options

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), self._connect)

    def _connect(self, server: web.Server) -> Connection:
        loop = asyncio.get_running_loop()
        return Connection(server, self._connections, self._headers, loop=loop, **self._options)


def _on_the_wire(response: web.Response, headers: Mapping[str, str]) -> bytes:
    """Return an answer to what was not read, which ends the connection."""
    body = response.body
    assert isinstance(body, bytes)
    head = {**response.headers, **headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in head.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
