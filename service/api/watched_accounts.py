"""The accounts that somebody has a socket open for: one committed copy of each, told to all of it.

Each account is subscribed to once, however many sockets listen; an event is read, framed and
compressed once for all of them. `push` values every account that a moved price or an event has
changed since the last push, once, and sends it to the sockets of the account; run it every
`portfolio_push_interval_s`. It finds them by the symbols that price them: thousands that rest are
not looked at, unless what prices them may have changed with the desk. It gives way to the event
loop after every `CHUNK` accounts it values, and every `LOOKED_AT_ONCE` it only looks at.

A socket is sent a portfolio only when it was told every event that is in it and none that is not.
Where an event is missing for good, or an account cannot be told or valued, its sockets are closed:
their clients connect again and start from a fresh snapshot.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from loguru import logger

from service.api.committed_account import Binding, CommittedAccount, binding_of
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

    __slots__ = ("committed", "heard", "is_lost", "sockets", "symbols", "unsubscribe")

    def __init__(self, committed: CommittedAccount) -> None:
        self.committed = committed
        self.heard = committed.view.sequence
        self.is_lost = False
        self.sockets: dict[ClientSocket, int] = {}
        self.symbols: frozenset[str] = frozenset()
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
        self._priced_by: dict[str, dict[int, WatchedAccount]] = {}
        self._unpriced: dict[int, WatchedAccount] = {}
        self._due: dict[int, WatchedAccount] = {}
        self._entering = asyncio.Lock()
        self._shown: dict[str, tuple[int, int]] = {}
        self._shown_of: Desk | None = None
        self._bound_to: Binding | None = None

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
                self._unpriced[view.account_id] = watched
        if view.sequence > watched.committed.view.sequence:
            watched.committed.renew(view, orders)
            self._due[view.account_id] = watched
        return watched

    def leave(self, watched: WatchedAccount, socket: ClientSocket) -> None:
        """Tell a socket no more; the last one ends the subscription."""
        watched.sockets.pop(socket, None)
        if not watched.sockets:
            self._forget(watched)

    def _forget(self, watched: WatchedAccount) -> None:
        if self._is_here(watched):
            del self._accounts[watched.account_id]
            self._unpriced.pop(watched.account_id, None)
            self._due.pop(watched.account_id, None)
            self._price_by(watched, frozenset())
        if watched.unsubscribe is not None:
            watched.unsubscribe()
            watched.unsubscribe = None

    def _is_here(self, watched: WatchedAccount) -> bool:
        return self._accounts.get(watched.account_id) is watched

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
        if self._is_here(watched):  # else it is about to be
            self._due[watched.account_id] = watched
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
        failure = await self._look_up(desk)
        due = dict(self._due)
        for name in moved:
            due.update(self._priced_by.get(name, {}))
        for pushed, watched in enumerate(due.values(), start=1):
            try:
                self._push(watched)
            except Exception as error:
                failure = error
                self._give_up(watched)
            if pushed % CHUNK == 0:
                await asyncio.sleep(0)
        if failure is not None:
            raise failure

    async def _look_up(self, desk: Desk) -> Exception | None:
        """Note by which symbols accounts are priced that are new here; if the desk is, of all."""
        bound_to = binding_of(desk)
        if self._bound_to != bound_to:
            self._bound_to = bound_to
            self._unpriced = dict(self._accounts)
        failure = None
        looked_at = 0
        while self._unpriced:
            _, watched = self._unpriced.popitem()
            try:
                self._price_by(watched, watched.committed.symbols(desk))
            except Exception as error:
                failure = error
                self._give_up(watched)
            looked_at += 1
            if looked_at % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return failure

    def _price_by(self, watched: WatchedAccount, symbols: frozenset[str]) -> None:
        """Value an account from now on when one of these moves."""
        for name in watched.symbols - symbols:
            del self._priced_by[name][watched.account_id]
        for name in symbols - watched.symbols:
            self._priced_by.setdefault(name, {})[watched.account_id] = watched
        watched.symbols = symbols

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
        desk = self._desk()
        if not self._is_here(watched):
            return  # its last socket has left meanwhile
        portfolio = watched.committed.portfolio(desk)
        if portfolio is None:
            self._due[watched.account_id] = watched
            return
        self._due.pop(watched.account_id, None)
        self._price_by(watched, watched.committed.symbols(desk))
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
