"""Group prices to sockets: a message is framed once and written to every socket that wants it.

Who wants no prices has not joined, so that none of this looks at it. Sockets with a filter share
the encoding of theirs. A long fan-out gives way to the event loop after every `CHUNK` sockets, so
that ticks do not wait for a thousand writes; updates that arrive meanwhile wait as one per group,
with the newest price of each symbol.
"""

import asyncio
import time

from loguru import logger

from service.api.frames import QuotesUpdate
from service.api.ports import PriceBoard, Unsubscribe
from service.api.socket import ClientSocket
from service.instruments import Instruments

CHUNK = 64


class Fanout:
    """The sockets of each group that want prices, and the prices on their way to them."""

    def __init__(self, board: PriceBoard, instruments: Instruments) -> None:
        self._board = board
        self._instruments = instruments
        self._sockets: dict[str, dict[ClientSocket, None]] = {}
        self._subscriptions: dict[str, Unsubscribe] = {}
        self._waiting: dict[str, QuotesUpdate] = {}
        self._waiting_since: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    def join(self, group: str, socket: ClientSocket) -> None:
        """Send a group's prices to a socket from now on, if it is not done already."""
        sockets = self._sockets.setdefault(group, {})
        sockets[socket] = None
        if group not in self._subscriptions:
            self._subscriptions[group] = self._board.subscribe(
                group, lambda message: self.publish(QuotesUpdate(message))
            )

    def leave(self, group: str, socket: ClientSocket) -> None:
        """Send it no more, if it was sent any."""
        sockets = self._sockets.get(group, {})
        sockets.pop(socket, None)
        if not sockets and group in self._subscriptions:
            self._subscriptions.pop(group)()
            del self._sockets[group]

    def publish(self, update: QuotesUpdate) -> None:
        """Send prices to the sockets of their group, soon."""
        waiting = self._waiting.pop(update.group, None)
        self._waiting[update.group] = update if waiting is None else waiting.followed_by(update)
        self._waiting_since.setdefault(update.group, time.perf_counter())
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, update = next(iter(self._waiting.items()))
                del self._waiting[group]
                since = self._waiting_since.pop(group)
                sockets = list(self._sockets.get(group, ()))
                for start in range(0, len(sockets), CHUNK):
                    self._write(sockets[start : start + CHUNK], update)
                    await asyncio.sleep(0)
                self._instruments.prices_fanned_out(time.perf_counter() - since)
        except Exception as error:  # the next update starts anew
            logger.opt(exception=error).error("a fan-out of prices failed")
        finally:
            self._task = None

    def _write(self, sockets: list[ClientSocket], update: QuotesUpdate) -> None:
        sent = conflated = 0
        for socket in sockets:
            if socket.quotes_after[update.group] >= update.sequence:
                continue
            part = update if socket.symbols is None else update.only(socket.symbols)
            if part is not None:
                sent += 1
                conflated += socket.send_quotes(part)
        self._instruments.socket_sent("quotes", sent)
        if conflated:
            self._instruments.socket_dropped("conflated", conflated)

    async def close(self) -> None:
        """End the subscriptions and what is on its way."""
        for unsubscribe in self._subscriptions.values():
            unsubscribe()
        self._subscriptions.clear()
        self._sockets.clear()
        self._waiting.clear()
        self._waiting_since.clear()
        if self._task is not None:
            await asyncio.wait((self._task,))
