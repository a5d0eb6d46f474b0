"""GET /api/v1/stream: a trader's WebSocket, from its upgrade to its end.

It serves every account its token covers. Their snapshots are read first, so that what is wrong is
still answered over HTTP. Events then continue after a snapshot's sequence, prices after the
board's. A socket is closed when its token expires or is revoked. No database session is held for
the life of a socket (R6.2).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import msgspec
from aiohttp import WebSocketError, WSMsgType, web
from loguru import logger
from opentelemetry.trace import SpanKind

from service.api.auth import SUBPROTOCOL, Principal
from service.api.calls import Services
from service.api.conversation import Conversation
from service.api.errors import ApiError, TransportCode
from service.api.fanout import Fanout
from service.api.frames import Frame
from service.api.market import group_quotes
from service.api.messages import Snapshot
from service.api.socket import CLOSE_TIMEOUT_S, ClientSocket, CloseReason, SocketLimits
from service.api.watched_accounts import WatchedAccount, WatchedAccounts
from service.domain.rejection import RejectCode, Rejected
from service.storage.errors import Unreachable
from service.storage.views import AccountView, OrderView
from telemetry.limits import Limit

EXPIRY_CHECK_S = 3600.0
SHUTDOWN_TIMEOUT_S = 5.0

_StaticOrders = tuple[AccountView, Sequence[OrderView]]


class Stream:
    """All open sockets of this process; `accounts` are those they listen to."""

    def __init__(self, services: Services, limits: SocketLimits) -> None:
        self._services = services
        self._limits = limits
        self._fanout = Fanout(services.board, services.instruments)
        self.accounts = WatchedAccounts(
            services.feed, lambda: services.market.desk, services.instruments
        )
        self._open: dict[ClientSocket, Principal] = {}
        services.revocations.listeners.append(self._close_revoked)
        self._per_account: Counter[int] = Counter()
        self._admitted = 0
        self._is_stopping = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until it ends."""
        principal = self._services.doors.stream(request)
        websocket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S,
            heartbeat=self._limits.heartbeat_s,
            autoping=False,  # it would answer all pings that have arrived without giving way
            protocols=(SUBPROTOCOL,),
            compress=True,
            max_msg_size=self._limits.max_message_bytes,
        )
        if not websocket.can_prepare(request):
            raise ApiError(
                TransportCode.UPGRADE_REQUIRED,
                "this is a WebSocket (version 13): connect with a WebSocket client",
                headers={"Upgrade": "websocket", "Connection": "Upgrade"},
            )
        self._admit(principal.accounts)
        try:
            found = [await self._live_orders(each) for each in principal.accounts]
            await websocket.prepare(request)
            await self._serve(request, websocket, principal, found)
        finally:
            self._admitted -= 1
            for account_id in principal.accounts:
                self._per_account[account_id] -= 1
                if not self._per_account[account_id]:
                    del self._per_account[account_id]
        return websocket

    async def _live_orders(self, account_id: int) -> _StaticOrders:
        """Read an account anew for the cache, since its user connects (R1.3), if that can be."""
        portfolios = self._services.portfolios
        try:
            found = await portfolios.refresh(account_id)
        except Unreachable:
            found = await portfolios.static_orders(account_id)
        if found is None:
            raise Rejected(RejectCode.UNKNOWN_ACCOUNT, f"there is no account {account_id}")
        return found

    def _admit(self, accounts: Sequence[int]) -> None:
        if self._is_stopping:
            raise ApiError(TransportCode.UNAVAILABLE, "the service stops: connect again")
        limits = self._limits
        if any(self._per_account[each] >= limits.max_per_account for each in accounts):
            raise ApiError(
                TransportCode.TOO_MANY_SOCKETS,
                f"an account may have {limits.max_per_account} sockets: close one",
            )
        if self._admitted >= limits.max_total:
            raise ApiError(TransportCode.TOO_MANY_SOCKETS, "too many sockets: try again later")
        self._per_account.update(accounts)
        self._admitted += 1

    async def _serve(
        self,
        request: web.Request,
        websocket: web.WebSocketResponse,
        principal: Principal,
        found: Sequence[_StaticOrders],
    ) -> None:
        instruments = self._services.instruments
        instruments.socket_opened()
        label = "error"
        try:
            socket = ClientSocket(request, websocket, self._limits, instruments)
            self._open[socket] = principal
            if self._services.doors.is_revoked(principal):  # since it was let in
                socket.close(CloseReason.REVOKED)
            expiry = asyncio.create_task(_expire(socket, principal.expires_at))
            try:
                label = await self._talk(websocket, socket, principal, found)
            except Unreachable:
                socket.close(CloseReason.ERROR)
            except Exception as error:
                logger.opt(exception=error).error("a socket failed unexpectedly")
                socket.close(CloseReason.ERROR)
            finally:
                expiry.cancel()
                del self._open[socket]
                await socket.finish()
            if socket.close_reason is not None:
                label = socket.close_reason.label
        except ConnectionResetError:
            label = "client"
        finally:
            instruments.socket_closed(label)
            logger.debug("socket of accounts {} closed: {}", principal.accounts, label)

    async def _talk(
        self,
        websocket: web.WebSocketResponse,
        socket: ClientSocket,
        principal: Principal,
        found: Sequence[_StaticOrders],
    ) -> str:
        """Tell and listen until the client ends it; return why: client or protocol."""
        joined: list[WatchedAccount] = []
        try:
            for account, orders in found:
                watched = await self.accounts.watch(account, orders)
                joined.append(watched)
                self._introduce(socket, watched)
            conversation = Conversation(self._services, self._fanout, socket, principal)
            async for message in websocket:
                if message.type is WSMsgType.ERROR:
                    return "protocol" if isinstance(message.data, WebSocketError) else "client"
                if message.type is WSMsgType.PING:
                    socket.pong(message.data)
                elif message.type is not WSMsgType.PONG:
                    self._hear(conversation, message.data)
                # What has arrived is read without waiting: a flood must not hold up the ticks.
                await asyncio.sleep(0)
            return "client"
        finally:
            for watched in joined:
                self.accounts.leave(watched, socket)
            for group in socket.quotes_after:
                self._fanout.leave(group, socket)

    def _hear(self, conversation: Conversation, data: str | bytes) -> None:
        started = time.perf_counter()
        instruments = self._services.instruments
        instruments.socket_bytes_received(len(data))
        # Of its own: the socket's request may have lasted for days.
        span = instruments.tracing.root("websocket", SpanKind.SERVER, Limit.MESSAGE)
        with span:
            name = conversation.take(data)
            span.rename(f"websocket {name}")
        instruments.socket_received(name, time.perf_counter() - started, span.trace)

    def _introduce(self, socket: ClientSocket, watched: WatchedAccount) -> None:
        """Send an account's snapshot, and let what follows it come."""
        services, committed = self._services, watched.committed
        account, desk = committed.view, services.market.desk
        group = account.group
        socket.quotes_after[group] = services.board.sequence(group)
        snapshot = Snapshot(
            account_id=account.account_id,
            sequence=account.sequence,
            portfolio=committed.portfolio(desk),
            account=account,
            orders=committed.orders,
            group=group,
            quotes_sequence=socket.quotes_after[group],
            quotes=group_quotes(desk, group),
        )
        socket.send("snapshot", Frame(msgspec.json.encode(snapshot)))
        watched.join(socket)
        self._fanout.join(group, socket)

    async def close(self, app: web.Application) -> None:
        """Tell every client to go, for at most `SHUTDOWN_TIMEOUT_S`."""
        self._is_stopping = True
        await self._fanout.close()
        ending = [asyncio.create_task(self._end(socket)) for socket in self._open]
        if ending:
            await asyncio.wait(ending, timeout=SHUTDOWN_TIMEOUT_S)

    def _close_revoked(self) -> None:
        for socket, principal in self._open.items():
            if self._services.doors.is_revoked(principal):
                socket.close(CloseReason.REVOKED)

    async def _end(self, socket: ClientSocket) -> None:
        socket.close(CloseReason.SHUTDOWN)
        await socket.finish()


async def _expire(socket: ClientSocket, expires_at: float) -> None:
    # In steps, since timers do not follow the wall clock when it is set.
    while (remaining_s := expires_at - time.time()) > 0:  # noqa: ASYNC110 - time has no event
        await asyncio.sleep(min(remaining_s, EXPIRY_CHECK_S))
    socket.close(CloseReason.EXPIRED)
