"""The load's upstream with the service's own feed: what was due arrives, at its own time."""

import asyncio
from itertools import pairwise
from random import Random

import pytest

from service.domain.quote import Quote, QuoteRefusal
from service.feed.websocket import WebSocketFeed
from service.load.errors import CannotLoad
from service.load.market import Market
from service.load.schedule import Clock
from service.load.tally import Tallies
from service.load.upstream import Upstream
from service.storage.group_views import group_symbol_view
from tests.support import eventually, free_port
from tests.unit.api.market import make_desk

_DESK = make_desk()


def make_market() -> Market:
    return Market(
        [group_symbol_view(each) for (name, _), each in _DESK.terms.items() if name == "gold"],
        (),
        Random(1),
    )


async def test_quotes_arrive_once_in_order_with_the_times_at_which_they_were_due() -> None:
    clock, tallies = Clock(), Tallies()
    upstream, market = Upstream(clock, tallies), make_market()
    url = f"ws://127.0.0.1:{free_port()}/any/path"
    taken: list[Quote] = []
    malformed: list[QuoteRefusal] = []
    feed = WebSocketFeed(
        url,
        lambda: _DESK.symbols,
        Random(1),
        clock.now,
        on_malformed=malformed.append,
        on_reconnect=lambda: None,
        connections=2,
    )
    async with upstream.served(url):
        feeding = asyncio.create_task(feed.run(taken.append))
        await asyncio.wait_for(upstream.subscribed(), 30)
        await eventually(lambda: upstream.connections == 2)
        sending = asyncio.create_task(upstream.send(market, 2_000))
        await eventually(lambda: len(taken) >= 500 and feed.healthy)
        sending.cancel()
        await asyncio.wait((sending,))
        tally = tallies.now
        await eventually(lambda: len(taken) == tally.ticks)
        feeding.cancel()
        await asyncio.wait((feeding,))
    assert not malformed
    assert {quote.symbol for quote in taken} <= market.symbols.keys()
    assert len({quote.time for quote in taken}) == len(taken)
    for name in market.symbols:
        times = [quote.time for quote in taken if quote.symbol == name]
        assert times == sorted(times)
    steps = sorted(quote.time for quote in taken)
    assert all(after - before >= 499_999 for before, after in pairwise(steps))
    assert tally.tick_lag.count == tally.ticks + tally.ticks_held_back


async def test_what_nobody_takes_is_held_back() -> None:
    tallies = Tallies()
    upstream = Upstream(Clock(), tallies)
    sending = asyncio.create_task(upstream.send(make_market(), 1_000))
    await eventually(lambda: tallies.now.ticks_held_back >= 10)
    sending.cancel()
    await asyncio.wait((sending,))
    assert tallies.now.ticks == 0


async def test_an_address_that_is_taken_is_told() -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    async with Upstream(Clock(), Tallies()).served(url):
        with pytest.raises(CannotLoad, match="is in use: stop what uses it, or set TAPEWATCH_FEED"):
            async with Upstream(Clock(), Tallies()).served(url):
                pass
    with pytest.raises(CannotLoad, match="must start with ws://"):
        async with Upstream(Clock(), Tallies()).served("wss://127.0.0.1"):
            pass
