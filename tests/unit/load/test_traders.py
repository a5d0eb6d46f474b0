"""The traders: what they send is accepted and ended, what they hear is laid beside its cause."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import NamedTuple

import aiohttp
import pytest

from service.api.rates import RateLimits
from service.domain.decision import EventKind
from service.load.listeners import HeardDeal, HeardEvent, HeardOrder, Listeners
from service.load.market import GroupDips, Market
from service.load.orders import Stage
from service.load.schedule import Clock
from service.load.tally import Tallies
from service.load.traders import OK, Traders
from service.storage.group_views import group_symbol_view
from tests.support import eventually
from tests.unit.api.market import OTHER, TRADER
from tests.unit.api.world import HOST, World, token

ACCOUNTS = (TRADER, OTHER)
TRADED = ("EURUSD", "USDJPY")
BURST = 4
# A symbol may dip while a command is on its way, and an account may be quicker than is allowed.
UNLUCKY = ("WRONG_SIDE_OF_MARKET", "ORDER_NOT_PENDING", "ORDER_NOT_FOUND", "RATE_LIMITED")
WHAT_TRADERS_DO = {
    EventKind.PLACED,
    EventKind.MODIFIED,
    EventKind.OPENED,
    EventKind.CLOSED,
    EventKind.CANCELLED,
}


class Floor(NamedTuple):
    """Traders of a world's accounts, the market they are quoted by, and what is counted."""

    traders: Traders
    market: Market
    tallies: Tallies
    clock: Clock


@asynccontextmanager
async def at_work(world: World) -> AsyncIterator[Floor]:
    clock, tallies, random = Clock(), Tallies(), Random(2)
    gold = [
        group_symbol_view(each) for (name, _), each in world.desk.terms.items() if name == "gold"
    ]
    views = [view for view in gold if view.symbol in TRADED]
    market = Market(views, (), random)
    market.quote_only(market.symbols)
    async with aiohttp.ClientSession(f"http://{HOST}:{world.port}") as session:
        traders = Traders(
            session, token, market, clock, tallies, random, burst=BURST, run="load-test"
        )
        listeners = Listeners(clock, tallies, traders.heard)
        await listeners.listen(HOST, world.port, ACCOUNTS, token)
        assert listeners.groups == dict.fromkeys(ACCOUNTS, "gold")
        traders.seat([(each, GroupDips("gold", views)) for each in ACCOUNTS])
        yield Floor(traders, market, tallies, clock)
        listeners.close()


async def quoting(world: World, stage: Floor) -> None:
    """Quote to the world's desk what the market says."""
    while True:
        name, text = stage.market.next(stage.clock.now())
        quote = json.loads(text)
        digits = world.desk.symbols[name].digits
        bid, ask = (int(Decimal(quote[side]).scaleb(digits)) for side in ("bid", "ask"))
        world.trading.quote(name, bid, ask)
        await asyncio.sleep(0.001)


async def quoted(world: World) -> None:
    """Wait until what they trade has a quote."""
    traded = [world.desk.markets[name] for name in TRADED]
    await eventually(lambda: all(market.is_quoted for market in traded))


async def test_all_they_send_is_accepted_and_ended_in_the_end() -> None:
    async with World() as world, at_work(world) as stage:
        tasks = [asyncio.create_task(quoting(world, stage))]
        await quoted(world)
        trading = asyncio.create_task(stage.traders.trade(400))
        now = stage.tallies.now
        await eventually(
            lambda: (
                now.fired >= 4
                and now.answers[OK] >= 100
                and {event.kind for event in world.trading.events} >= WHAT_TRADERS_DO
            )
        )
        trading.cancel()
        await asyncio.wait((trading,))
        await stage.traders.retire()
        await eventually(lambda: not len(stage.traders.orders))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert now.answers.keys() <= {OK, *UNLUCKY}
        assert not world.desk.orders
        assert sum(now.answers.values()) == now.commands == now.answered.count


async def test_who_was_too_quick_for_the_service_ends_all_the_same() -> None:
    rates = RateLimits(account_commands_per_s=5)
    async with World(rates=rates) as world, at_work(world) as stage:
        quotes = asyncio.create_task(quoting(world, stage))
        await quoted(world)
        trading = asyncio.create_task(stage.traders.trade(400))
        await eventually(lambda: stage.tallies.now.answers["RATE_LIMITED"] >= 10)
        trading.cancel()
        await asyncio.wait((trading,))
        assert world.desk.orders
        await stage.traders.retire()
        quotes.cancel()
        await asyncio.wait((quotes,))
        assert not world.desk.orders


async def test_a_service_that_is_gone_is_counted() -> None:
    async with World() as world, at_work(world) as stage:
        await world.stop()
        trading = asyncio.create_task(stage.traders.trade(100))
        await eventually(lambda: sum(stage.tallies.now.answers.values()) >= 5)
        trading.cancel()
        await asyncio.wait((trading,))
        assert OK not in stage.tallies.now.answers
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await stage.traders.retire()
        # Whether they were placed cannot be told, and is not.
        assert {order.stage for order in stage.traders.orders} == {Stage.SENT}


@pytest.fixture
async def stage() -> AsyncIterator[Floor]:
    async with World() as world, at_work(world) as stage:
        for name in ("EURUSD", "USDJPY"):
            world.trading.quote(
                name, *((108_450, 108_456) if name == "EURUSD" else (151_316, 151_324))
            )
        yield stage


def event(
    kind: EventKind, key: str, sequence: int, time: str | None = None, reason: str | None = None
) -> HeardEvent:
    deal = None if time is None else HeardDeal(time)
    return HeardEvent(sequence, kind, HeardOrder(1, key, reason), deal)


async def test_what_is_heard_is_laid_beside_its_cause(stage: Floor) -> None:
    traders, tally = stage.traders, stage.tallies.now
    order = None
    while order is None or not order.rests_for_dip:
        order = traders._place(due=1_000_000_000).order
    key = order.client_order_id
    traders.heard(event(EventKind.PLACED, key, 5), 1_002_000_000)
    assert (order.stage, tally.events.count, tally.events.largest_us) == (Stage.RESTING, 1, 2_000)
    dip = stage.clock.now()
    stage.market.dip(order.symbol)
    _, text = stage.market.next(dip)
    time = json.loads(text)["time"]
    told = f"{time[:23]}Z"
    opened = event(EventKind.OPENED, key, 6, told)
    traders.heard(opened, dip + 7_000_000)
    traders.heard(opened, dip + 9_000_000)  # another socket of the account
    assert (order.stage, tally.fired) == (Stage.OPEN, 1)
    assert (tally.fills.count, tally.fills.largest_us) == (2, 9_000)
    # A stop-out is nobody's command, and no dip's doing.
    traders.heard(event(EventKind.CLOSED, key, 7, "2020-01-01T00:00:00.000Z", "STOP_OUT"), dip)
    assert (tally.fills.count, tally.events.count) == (2, 1)
    assert traders.orders.find(key) is None
    traders.heard(event(EventKind.PLACED, "of somebody else", 1), dip)
    assert tally.events.count == 1
