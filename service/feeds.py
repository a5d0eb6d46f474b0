"""The feed the settings name, bound to the service's symbols.

Simulated and replayed quotes come by a timetable of their own, weekends and all: such a feed rests
until the next is due, and quiet markets never look like a hang.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from random import Random

from service.domain.instrument import Symbol
from service.domain.quote import Quote, QuoteRefusal
from service.feed.feed import Feed
from service.feed.replay import ReplayFeed
from service.feed.simulated import SimulatedFeed
from service.feed.websocket import WebSocketFeed
from service.instruments import Instruments
from service.scenario.fault import Fault
from service.scenario.instruments import choose_instruments
from service.scenario.ticks import read_ticks
from service.settings import FeedKind, Settings
from telemetry.pulse import Pulse

_ALL_INSTRUMENTS = 30


def make_feed(
    settings: Settings,
    symbols: Callable[[], Mapping[str, Symbol]],
    instruments: Instruments,
    pulse: Pulse,
) -> Feed:
    """Return the feed; it is made when the symbols are known, and shows its life on `pulse`.

    Raises:
        ValueError: the simulated feed knows none of the symbols.
    """

    async def until_due(seconds: float) -> None:
        await pulse.rest(asyncio.sleep(seconds))

    match settings.feed:
        case FeedKind.SIMULATED:
            known = symbols()
            traded = [
                instrument
                for instrument in choose_instruments(_ALL_INSTRUMENTS)
                if (symbol := known.get(instrument.symbol.name)) is not None
                and symbol.digits == instrument.symbol.digits
            ]
            if not traded:
                raise ValueError(
                    "the simulated feed knows none of the book's symbols: set TAPEWATCH_FEED to "
                    "another, or begin with the demo book, by `tapewatch run` on an empty database"
                )
            return SimulatedFeed(
                traded,
                Random(settings.feed_seed),
                time.time_ns,
                rate=settings.feed_rate,
                sleep=until_due,
            )
        case FeedKind.REPLAY:
            path = settings.feed_file
            assert path is not None

            def note_malformed(fault: Fault) -> None:
                instruments.quote_refused(QuoteRefusal.MALFORMED)

            def open_quotes() -> Iterator[Quote]:
                return read_ticks(path, symbols(), note_malformed)

            return ReplayFeed(
                open_quotes,
                speed=settings.feed_speed,
                loop=settings.feed_loop,
                live_clock=time.time_ns,
                sleep=until_due,
            )
        case FeedKind.WEBSOCKET:
            assert settings.feed_url is not None
            return WebSocketFeed(
                settings.feed_url,
                symbols,
                Random(),
                time.time_ns,
                on_malformed=instruments.quote_refused,
                on_reconnect=instruments.feed_reconnected,
                connections=settings.feed_connections,
                pulse=pulse,
            )
