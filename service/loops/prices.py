"""The price board: every group's prices, ten times a second, computed once for all who look.

Each run of `show` takes the symbols whose quote changed since the last, computes the price of each
group that trades them, and hands every group with subscribers one message, serialised once. Redis
gets the same prices from a loop of its own, `write`, so that a slow Redis never delays a socket;
what it has not taken yet is overwritten by newer prices, one a group and symbol at most. Of several
processes that show prices one stores them, and begins with all when it comes to be that one.

A group's messages are numbered from 1 without a gap, whether anybody listens or not. When settings
change all prices are shown anew: a closed symbol's next quote may be days away.
"""

import asyncio
from collections.abc import Callable

import msgspec
from loguru import logger

from service.domain.desk import Desk
from service.domain.market import Market, Terms
from service.instruments import Instruments
from service.storage.cache import Cache
from service.storage.group_views import PriceView, group_symbol_view, price_view
from telemetry.pulse import Pulse

SHOW_INTERVAL_S = 0.1
GROUPS_IN_CALL = 32

Callback = Callable[[bytes], None]


class PricesMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="quotes"):
    """Changed prices of a group, as its subscribers get them."""

    group: str
    sequence: int
    quotes: list[PriceView]


class PriceBoard:
    """Group prices out of the markets of the present desk."""

    def __init__(
        self,
        desk: Callable[[], Desk],
        cache: Cache,
        instruments: Instruments,
        is_writer: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take whether it is this process that stores prices: of all that show them, one does."""
        self._desk = desk
        self._cache = cache
        self._is_writer = is_writer
        self._instruments = instruments
        self._shown: dict[str, tuple[int, int, int]] = {}
        self._terms: dict[str, list[Terms]] = {}
        self._terms_of: tuple[Desk, int] | None = None
        self._sequences: dict[str, int] = {}
        self._subscribers: dict[str, dict[object, Callback]] = {}
        self._unwritten: dict[str, dict[str, PriceView | None]] = {}
        self._are_symbols_due = False
        self._is_writing = False
        self._wake = asyncio.Event()
        self.pulse = Pulse()

    def sequence(self, group: str) -> int:
        """Return the sequence of the group's last message, 0 before the first."""
        return self._sequences.get(group, 0)

    def subscribe(self, group: str, callback: Callback) -> Callable[[], None]:
        """Hand the group's next messages to `callback`, until the returned function is called."""
        key = object()
        self._subscribers.setdefault(group, {})[key] = callback

        def unsubscribe() -> None:
            self._subscribers.get(group, {}).pop(key, None)

        return unsubscribe

    @property
    def is_idle(self) -> bool:
        """Whether Redis was sent all that is to be stored: prices shown, terms changed."""
        return not (self._unwritten or self._are_symbols_due or self._is_writing)

    async def run_once(self) -> None:
        """Show prices, as a loop does every `SHOW_INTERVAL_S`."""
        self.show()

    def show(self) -> None:
        """Publish what changed since the last time."""
        desk = self._desk()
        changed: dict[str, list[PriceView]] = {}
        is_writer = self._is_writer()
        for market in self._changed(desk):
            for terms in self._terms_on(desk, market.symbol.name):
                price, group = price_view(terms), terms.group.name
                if is_writer:
                    # None: its markup leaves none, and what Redis has is none any more.
                    self._unwritten.setdefault(group, {})[market.symbol.name] = price
                if price is not None:
                    changed.setdefault(group, []).append(price)
        for group, prices in changed.items():
            self._sequences[group] = sequence = self.sequence(group) + 1
            callbacks = self._subscribers.get(group)
            if callbacks:
                self._hand_out(PricesMessage(group=group, sequence=sequence, quotes=prices))
        if self._unwritten:
            self._wake.set()

    def settings_changed(self) -> None:
        """Show all prices anew, and have the terms of all groups stored in the cache.

        Called when trading begins and when settings change: a new markup is a new price.
        """
        self._shown.clear()
        self._are_symbols_due = self._is_writer()
        self._wake.set()

    async def _write_symbols(self) -> None:
        desk = self._desk()
        for group in list(desk.groups):
            terms = [each for (name, _), each in desk.terms.items() if name == group]
            symbols = [group_symbol_view(each) for each in terms]
            if not await self._cache.groups.write_symbols(group, symbols):
                self._are_symbols_due = True  # again with the next price
            self.pulse.beat()

    def _hand_out(self, message: PricesMessage) -> None:
        content = msgspec.json.encode(message)
        self._instruments.price_message()
        for callback in list(self._subscribers[message.group].values()):
            try:
                callback(content)
            except Exception as error:  # one subscriber's fault is not the others'
                logger.opt(exception=error).error("a subscriber to {} failed", message.group)

    def _changed(self, desk: Desk) -> list[Market]:
        shown = self._shown
        changed = []
        for name, market in desk.markets.items():
            quote = (market.bid, market.ask, market.time)
            if market.is_quoted and shown.get(name) != quote:
                shown[name] = quote
                changed.append(market)
        return changed

    def _terms_on(self, desk: Desk, symbol: str) -> list[Terms]:
        # Terms are added and changed in place, never removed: their number tells of new ones.
        if self._terms_of != (desk, len(desk.terms)):
            self._terms = {}
            for (_, name), terms in desk.terms.items():
                self._terms.setdefault(name, []).append(terms)
            self._terms_of = (desk, len(desk.terms))
        return self._terms.get(symbol, [])

    async def write(self) -> None:
        """Store what was shown in the cache, until cancelled."""
        while True:
            await self.pulse.rest(self._wake.wait())
            self._wake.clear()
            self._is_writing = True
            try:
                await self._write_due()
            finally:
                self._is_writing = False

    async def _write_due(self) -> None:
        if not self._is_writer():
            self._unwritten = {}
            return
        if self._are_symbols_due:
            self._are_symbols_due = False
            await self._write_symbols()
        waiting, self._unwritten = self._unwritten, {}
        groups = list(waiting)
        for start in range(0, len(groups), GROUPS_IN_CALL):
            part = {group: waiting[group] for group in groups[start : start + GROUPS_IN_CALL]}
            await self._cache.groups.write_prices(
                {group: [each for each in due.values() if each] for group, due in part.items()},
                {group: [name for name in due if not due[name]] for group, due in part.items()},
            )
            self.pulse.beat()
