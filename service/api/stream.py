"""GET /api/v1/stream: a trader's WebSocket, from its upgrade to its end.

The account's snapshot is read first, so that what is wrong is still answered over HTTP. Events then
continue after the snapshot's sequence, prices after the board's. A token's expiry is enforced while
the socket is open. No database session is held for the life of a socket (R6.2).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

import msgspec
from aiohttp import WebSocketError, WSMsgType, web
from loguru import logger

from service.api.auth import SUBPROTOCOL, Principal
from service.api.calls import Services
from service.api.errors import ApiError, TransportCode
from service.api.fanout import Fanout
from service.api.frames import quotes_update
from service.api.market import group_quotes, group_terms
from service.api.messages import (
    Error,
    EventHead,
    Incoming,
    Ping,
    Pong,
    Snapshot,
    Subscribe,
    Subscribed,
    Unsubscribe,
    event_message,
)
from service.api.reading import read_json
from service.api.socket import CLOSE_TIMEOUT_S, ClientSocket, CloseReason, SocketLimits
from service.domain.rejection import RejectCode, Rejected
from service.storage.errors import Unreachable
from service.storage.views import AccountView, OrderView

EXPIRY_CHECK_S = 3600.0
SHUTDOWN_TIMEOUT_S = 5.0
_INCOMING: msgspec.json.Decoder[Incoming] = msgspec.json.Decoder(Incoming)
_HEAD = msgspec.json.Decoder(EventHead)
_encode = msgspec.json.Encoder().encode


class Stream:
    """All open sockets of this process."""

    def __init__(self, services: Services, limits: SocketLimits) -> None:
        self._services = services
        self._limits = limits
        self._fanout = Fanout(services.board, services.instruments)
        self._open: set[ClientSocket] = set()
        self._per_account: Counter[int] = Counter()
        self._admitted = 0
        self._is_stopping = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until it ends."""
        principal = self._services.authenticator.socket(request)
        websocket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S,
            heartbeat=self._limits.heartbeat_s,
            protocols=(SUBPROTOCOL,),
            compress=False,
            max_msg_size=self._limits.max_message_bytes,
        )
        if not websocket.can_prepare(request):
            raise ApiError(
                TransportCode.UPGRADE_REQUIRED,
                "this is a WebSocket (version 13): connect with a WebSocket client",
                headers={"Upgrade": "websocket", "Connection": "Upgrade"},
            )
        account_id = principal.account_id
        self._admit(account_id)
        try:
            found = await self._live_orders(account_id)
            if found is None:
                raise Rejected(RejectCode.UNKNOWN_ACCOUNT, f"there is no account {account_id}")
            await websocket.prepare(request)
            await self._serve(request, websocket, principal, *found)
        finally:
            self._admitted -= 1
            self._per_account[account_id] -= 1
            if not self._per_account[account_id]:
                del self._per_account[account_id]
        return websocket

    async def _live_orders(self, account_id: int) -> tuple[AccountView, Sequence[OrderView]] | None:
        """Read an account anew for the cache, since its user connects (R1.3), if that can be."""
        portfolios = self._services.portfolios
        try:
            return await portfolios.refresh(account_id)
        except Unreachable:
            return await portfolios.static_orders(account_id)

    def _admit(self, account_id: int) -> None:
        if self._is_stopping:
            raise ApiError(TransportCode.UNAVAILABLE, "the service stops: connect again")
        limits = self._limits
        if self._per_account[account_id] >= limits.max_per_account:
            raise ApiError(
                TransportCode.TOO_MANY_SOCKETS,
                f"an account may have {limits.max_per_account} sockets: close one",
            )
        if self._admitted >= limits.max_total:
            raise ApiError(TransportCode.TOO_MANY_SOCKETS, "too many sockets: try again later")
        self._per_account[account_id] += 1
        self._admitted += 1

    async def _serve(
        self,
        request: web.Request,
        websocket: web.WebSocketResponse,
        principal: Principal,
        account: AccountView,
        orders: Sequence[OrderView],
    ) -> None:
        instruments = self._services.instruments
        instruments.socket_opened()
        label = "error"
        try:
            socket = ClientSocket(request, websocket, self._limits, instruments)
            self._open.add(socket)
            expiry = asyncio.create_task(_expire(socket, principal.expires_at))
            try:
                label = await self._talk(websocket, socket, account, orders)
            except Unreachable:
                socket.close(CloseReason.ERROR)
            except Exception as error:
                logger.opt(exception=error).error("a socket failed unexpectedly")
                socket.close(CloseReason.ERROR)
            finally:
                expiry.cancel()
                self._fanout.leave(account.group, socket)
                self._open.discard(socket)
                await socket.finish()
            if socket.close_reason is not None:
                label = socket.close_reason.label
        except ConnectionResetError:
            label = "client"
        finally:
            instruments.socket_closed(label)
            logger.debug("socket of account {} closed: {}", principal.account_id, label)

    async def _talk(
        self,
        websocket: web.WebSocketResponse,
        socket: ClientSocket,
        account: AccountView,
        orders: Sequence[OrderView],
    ) -> str:
        """Tell and listen until the client ends it; return why: client or protocol."""
        services, group = self._services, account.group
        socket.sequence = account.sequence
        socket.quotes_after = services.board.sequence(group)
        snapshot = Snapshot(
            sequence=account.sequence,
            account=account,
            orders=orders,
            group=group,
            quotes_sequence=socket.quotes_after,
            quotes=group_quotes(services.trading.desk, group),
        )
        socket.send("snapshot", _encode(snapshot))
        self._fanout.join(group, socket)
        unsubscribe = await services.feed.subscribe(
            account.account_id, account.sequence, partial(_tell, socket)
        )
        try:
            async for message in websocket:
                if message.type is WSMsgType.ERROR:
                    return "protocol" if isinstance(message.data, WebSocketError) else "client"
                started = time.perf_counter()
                name = self._take(socket, group, message.data)
                services.instruments.socket_received(name, time.perf_counter() - started)
                # What has arrived is read without waiting: a flood must not hold up the ticks.
                await asyncio.sleep(0)
            return "client"
        finally:
            unsubscribe()

    def _take(self, socket: ClientSocket, group: str, data: str | bytes) -> str:
        """Do what a message asks, and return its type."""
        try:
            if isinstance(data, bytes):
                raise ApiError(TransportCode.INVALID_JSON, "send JSON in text frames")
            message = read_json(_INCOMING, data)
            match message:
                case Ping():
                    socket.send("pong", _encode(Pong(id=message.id)))
                    return "ping"
                case Subscribe():
                    self._subscribe(socket, group, message.symbols)
                    return "subscribe"
                case Unsubscribe():
                    self._unsubscribe(socket, group, message.symbols)
                    return "unsubscribe"
        except ApiError as error:
            answer = Error(code=error.code, detail=error.detail, field=error.field)
            socket.send("error", _encode(answer))
        return "invalid"

    def _subscribe(self, socket: ClientSocket, group: str, symbols: list[str] | None) -> None:
        if symbols is None:
            self._choose(socket, group, None)
            return
        unknown = set(symbols) - self._symbols(group)
        if unknown:
            raise ApiError(
                RejectCode.UNKNOWN_SYMBOL,
                f"not traded in your group: {', '.join(sorted(unknown))}",
                "symbols",
            )
        self._choose(socket, group, (socket.symbols or frozenset()) | frozenset(symbols))

    def _unsubscribe(self, socket: ClientSocket, group: str, symbols: list[str] | None) -> None:
        chosen = self._symbols(group) if socket.symbols is None else socket.symbols
        gone = chosen if symbols is None else frozenset(symbols)
        self._choose(socket, group, chosen - gone)

    def _symbols(self, group: str) -> frozenset[str]:
        terms = group_terms(self._services.trading.desk, group)
        return frozenset(each.market.symbol.name for each in terms)

    def _choose(self, socket: ClientSocket, group: str, symbols: frozenset[str] | None) -> None:
        socket.choose(symbols)
        names = None if symbols is None else sorted(symbols)
        socket.send("subscribed", _encode(Subscribed(symbols=names)))
        # All chosen prices anew: an update still on its way to this socket is skipped for them.
        socket.quotes_after = self._services.board.sequence(group)
        quotes = {
            quote.symbol: quote
            for quote in group_quotes(self._services.trading.desk, group)
            if symbols is None or quote.symbol in symbols
        }
        if quotes:
            socket.send_quotes(quotes_update(group, socket.quotes_after, quotes))

    async def close(self, app: web.Application) -> None:
        """Tell every client to go, for at most `SHUTDOWN_TIMEOUT_S`."""
        self._is_stopping = True
        await self._fanout.close()
        ending = [asyncio.create_task(self._end(socket)) for socket in self._open]
        if ending:
            await asyncio.wait(ending, timeout=SHUTDOWN_TIMEOUT_S)

    async def _end(self, socket: ClientSocket) -> None:
        socket.close(CloseReason.SHUTDOWN)
        await socket.finish()


def _tell(socket: ClientSocket, payload: bytes) -> None:
    head = _HEAD.decode(payload)
    if head.sequence > socket.sequence:
        socket.sequence = head.sequence
        socket.send(*event_message(payload, head))


async def _expire(socket: ClientSocket, expires_at: float) -> None:
    # In steps, since timers do not follow the wall clock when it is set.
    while (remaining_s := expires_at - time.time()) > 0:  # noqa: ASYNC110 - time has no event
        await asyncio.sleep(min(remaining_s, EXPIRY_CHECK_S))
    socket.close(CloseReason.EXPIRED)
