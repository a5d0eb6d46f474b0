"""Those who listen: a socket each, and how long what it is told was on its way.

All latencies are of one clock, the generator's: a quote carries the time at which the load's own
tick was due, and an order's message is laid beside the dip or the command that caused it. A message
of quotes counts by its newest price: older ones in it waited for the service's next message, as
they are meant to. Messages tell times in whole milliseconds, so quotes seem up to 1 ms slower than
they are. A portfolio has no time, and is only counted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from service.domain.decision import EventKind
from service.load.errors import CannotLoad
from service.load.schedule import Clock
from service.load.stream_socket import Refused, StreamSocket, open_stream
from service.load.tally import Tallies
from service.scenario.times import Times

OPENED_AT_ONCE = 32
SNAPSHOT_TIMEOUT_S = 20.0
MAX_REMEMBERED = 256  # messages of quotes, one a group, each for all sockets of the group
_QUOTES, _ORDER = b'{"type":"quotes"', b'{"type":"order"'
_PORTFOLIO, _SNAPSHOT = b'{"type":"portfolio"', b'{"type":"snapshot"'


class HeardOrder(msgspec.Struct, frozen=True):
    """What an event tells of its order."""

    order_id: int
    client_order_id: str | None
    reason: str | None


class HeardDeal(msgspec.Struct, frozen=True):
    """What an event tells of its deal."""

    time: str


class HeardEvent(msgspec.Struct, frozen=True):
    """An event of an order."""

    sequence: int
    kind: EventKind
    order: HeardOrder
    deal: HeardDeal | None


class _Price(msgspec.Struct, frozen=True):
    time: str


class _Quotes(msgspec.Struct, frozen=True):
    quotes: list[_Price]


class _Snapshot(msgspec.Struct, frozen=True):
    account_id: int
    group: str


_quotes_from = msgspec.json.Decoder(_Quotes).decode
_event_from = msgspec.json.Decoder(HeardEvent).decode
_snapshot_from = msgspec.json.Decoder(_Snapshot).decode


class Listeners:
    """All sockets of the load; `on_event` is given each event and when it was heard, ns."""

    def __init__(
        self, clock: Clock, tallies: Tallies, on_event: Callable[[HeardEvent, int], None]
    ) -> None:
        self._clock = clock
        self._tallies = tallies
        self._on_event = on_event
        self._sockets: list[StreamSocket] = []
        self._times = Times()
        self._newest: dict[bytes, int] = {}
        self._untold: set[int] = set()
        self._all_told = asyncio.Event()
        self.groups: dict[int, str] = {}

    @property
    def open(self) -> int:
        return sum(each.lost is None for each in self._sockets)

    @property
    def lost(self) -> Counter[str]:
        """Sockets that have ended, by why."""
        return Counter(each.lost for each in self._sockets if each.lost is not None)

    async def listen(
        self, host: str, port: int, accounts: Sequence[int], token: Callable[[int], str]
    ) -> None:
        """Open a socket for each of the accounts, which may repeat, and wait for the snapshots.

        Raises:
            CannotLoad: the service refuses one, or does not answer.
        """
        gate = asyncio.Semaphore(OPENED_AT_ONCE)
        self._untold = set(accounts)
        if not self._untold:
            return

        async def open_one(account_id: int) -> None:
            async with gate:
                try:
                    socket = await open_stream(host, port, token(account_id), self._hear)
                except Refused as refusal:
                    raise CannotLoad(
                        f"the stream of account {account_id} is refused with "
                        f"{refusal.status}: {_WHY.get(refusal.status, 'see its log')}"
                    ) from None
                except (OSError, TimeoutError) as error:
                    raise CannotLoad(
                        f"no stream to {host}:{port} ({type(error).__name__}): see the "
                        "service's log; for many sockets raise the limit of open files (ulimit -n)"
                    ) from None
                self._sockets.append(socket)

        opening = [asyncio.create_task(open_one(each)) for each in accounts]
        try:
            await asyncio.gather(*opening)
        finally:
            for task in opening:
                task.cancel()
            await asyncio.gather(*opening, return_exceptions=True)
        try:
            async with asyncio.timeout(SNAPSHOT_TIMEOUT_S):
                await self._all_told.wait()
        except TimeoutError:
            raise CannotLoad(
                f"not every stream began with its snapshot within {SNAPSHOT_TIMEOUT_S:g} s: "
                "see the service's log"
            ) from None

    def close(self) -> None:
        """End all sockets."""
        for socket in self._sockets:
            socket.close()

    def _hear(self, payload: bytes) -> None:
        now, tally = self._clock.now(), self._tallies.now
        if payload.startswith(_QUOTES):
            tally.messages["quotes"] += 1
            newest = self._newest.get(payload)
            tally.quotes.record(now - (self._look(payload) if newest is None else newest))
        elif payload.startswith(_ORDER):
            tally.messages["order"] += 1
            self._on_event(_event_from(payload), now)
        elif payload.startswith(_PORTFOLIO):
            tally.messages["portfolio"] += 1
        elif payload.startswith(_SNAPSHOT):
            tally.messages["snapshot"] += 1
            snapshot = _snapshot_from(payload)
            self.groups[snapshot.account_id] = snapshot.group
            self._untold.discard(snapshot.account_id)
            if not self._untold:
                self._all_told.set()
        else:
            tally.messages["other"] += 1

    def _look(self, payload: bytes) -> int:
        if len(self._newest) >= MAX_REMEMBERED:
            self._newest.clear()
        newest = max(self._times.read(price.time) for price in _quotes_from(payload).quotes)
        self._newest[payload] = newest
        return newest


_WHY = {
    401: "its signing secret is another one: set the same TAPEWATCH_DATA_DIR or "
    "TAPEWATCH_JWT_SECRET as for the service",
    404: "there is no such account: name those there are with --accounts",
    429: "too many sockets of one account: name more accounts with --accounts",
    503: "it cannot serve now: see /readyz on its ops port",
}
