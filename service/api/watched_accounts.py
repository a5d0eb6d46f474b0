"""The accounts that somebody has a socket open for: one committed copy of each, told to all of it.

Each account is subscribed to once, however many sockets listen; an event is read, framed and
compressed once for all of them. `push` values every account that a moved price or an event has
changed since the last push, once, and sends it to the sockets of the account; run it every
`portfolio_push_interval_s`. It gives way to the event loop after every `CHUNK` accounts it values,
and every `LOOKED_AT_ONCE` it only looks at: thousands that rest must not hold up who trades.

A socket is sent a portfolio only when it was told every event that is in it and none that is not.
Where an event is missing for good, or an account cannot be told or valued, its sockets are closed:
their clients connect again and start from a fresh snapshot.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from loguru import logger

from service.api.committed_account import CommittedAccount
from service.api.frames import Frame
from service.api.messages import event_message
from service.api.ports import EventFeed, Unsubscribe
from service.api.socket import ClientSocket, CloseReason
from service.domain.desk import Desk
from service.instruments import Instruments
from service.storage.views import AccountView, EventView, OrderView

CHUNK = 16
LOOKED_AT_ONCE = 256

_EVENT = msgspec.json.Decoder(EventView)
_encode = msgspec.json.Encoder().encode


class WatchedAccount:
    """An account with its sockets, and the sequence each of these has been told."""

    __slots__ = ("committed", "heard", "is_due", "is_lost", "sockets", "unsubscribe")

    def __init__(self, committed: CommittedAccount) -> None:
        self.committed = committed
        self.heard = committed.view.sequence
        self.is_due = False
        self.is_lost = False
        self.sockets: dict[ClientSocket, int] = {}
        self.unsubscribe: Unsubscribe | None = None

    @property
    def account_id(self) -> int:
        return self.committed.view.account_id

    def join(self, socket: ClientSocket) -> None:
        """Tell a socket what happens from now on; it knows the account as committed by now."""
        self.sockets[socket] = self.committed.view.sequence


class WatchedAccounts:
    """All accounts with a socket."""

    def __init__(self, feed: EventFeed, desk: Callable[[], Desk], instruments: Instruments) -> None:
        self._feed = feed
        self._desk = desk
        self._instruments = instruments
        self._accounts: dict[int, WatchedAccount] = {}
        self._entering = asyncio.Lock()
        self._shown: dict[str, tuple[int, int]] = {}
        self._shown_of: Desk | None = None

    async def watch(self, view: AccountView, orders: Sequence[OrderView]) -> WatchedAccount:
        """Return an account, no older than it was just read; the caller joins it at once.

        Raises:
            RuntimeError: an event is missing that came after the reading.
        """
        async with self._entering:
            watched = self._accounts.get(view.account_id)
            if watched is None:
                watched = WatchedAccount(CommittedAccount(view, orders))
                watched.unsubscribe = await self._feed.subscribe(
                    view.account_id, view.sequence, partial(self._take, watched)
                )
                if watched.is_lost:
                    self._forget(watched)
                    raise RuntimeError("an account's events cannot be followed from its snapshot")
                self._accounts[view.account_id] = watched
        if view.sequence > watched.committed.view.sequence:
            watched.committed.renew(view, orders)
            watched.is_due = True
        return watched

    def leave(self, watched: WatchedAccount, socket: ClientSocket) -> None:
        """Tell a socket no more; the last one ends the subscription."""
        watched.sockets.pop(socket, None)
        if not watched.sockets:
            self._forget(watched)

    def _forget(self, watched: WatchedAccount) -> None:
        if self._accounts.get(watched.account_id) is watched:
            del self._accounts[watched.account_id]
        if watched.unsubscribe is not None:
            watched.unsubscribe()
            watched.unsubscribe = None

    # Events

    def _take(self, watched: WatchedAccount, payload: bytes) -> None:
        try:
            event = _EVENT.decode(payload)
            if event.sequence != watched.heard + 1:
                logger.error("the events of an account before {} are missing", event.sequence)
                self._give_up(watched)
                return
            watched.heard = event.sequence
            self._tell(watched, event, payload)
        except Exception:  # the feed logs it
            self._give_up(watched)
            raise

    def _tell(self, watched: WatchedAccount, event: EventView, payload: bytes) -> None:
        if event.sequence > watched.committed.view.sequence:
            watched.committed.follow(event)
        watched.is_due = True
        name, message = event_message(payload, event)
        frame = Frame(message)
        for socket, told in watched.sockets.items():
            if event.sequence > told:
                watched.sockets[socket] = event.sequence
                if socket.withdraw_portfolio(event.account_id):
                    self._instruments.socket_dropped("conflated")
                socket.send(name, frame)

    def _give_up(self, watched: WatchedAccount) -> None:
        watched.is_lost = True
        for socket in watched.sockets:
            socket.close(CloseReason.ERROR)
        self._forget(watched)

    # Portfolios

    async def push(self) -> None:
        """Tell what changed since the last time; one account that fails does not hold up others.

        Raises:
            Exception: the last of these failures; that account's sockets are closed.
        """
        desk = self._desk()
        moved = self._moved(desk)
        failure: Exception | None = None
        pushed = 0
        for looked_at, watched in enumerate(list(self._accounts.values()), start=1):
            if looked_at % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                if not watched.is_due and watched.committed.symbols(desk).isdisjoint(moved):
                    continue
                self._push(watched)
            except Exception as error:
                failure = error
                self._give_up(watched)
            pushed += 1
            if pushed % CHUNK == 0:
                await asyncio.sleep(0)
        if failure is not None:
            raise failure

    def _moved(self, desk: Desk) -> set[str]:
        """Return the symbols whose quote is another one than at the last push."""
        if self._shown_of is not desk:
            self._shown_of, self._shown = desk, {}
        shown = self._shown
        moved = set()
        for name, market in desk.markets.items():
            quote = (market.bid, market.ask)
            if shown.get(name) != quote:
                shown[name] = quote
                moved.add(name)
        return moved

    def _push(self, watched: WatchedAccount) -> None:
        watched.is_due = False
        committed = watched.committed
        portfolio = committed.portfolio(self._desk())
        if portfolio is None:
            watched.is_due = True
            return
        frame = Frame(_encode(portfolio))
        sent = conflated = 0
        for socket, told in watched.sockets.items():
            # One that is behind is told an event soon, which makes the account due again.
            if told == portfolio.sequence:
                sent += 1
                conflated += socket.send_portfolio(portfolio.account_id, frame)
        self._instruments.socket_sent("portfolio", sent)
        if conflated:
            self._instruments.socket_dropped("conflated", conflated)
