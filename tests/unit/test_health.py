"""Readiness by the feed: fresh quotes of what is in session; a closed market is no fault."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from service.domain.instrument import InstrumentType, Symbol
from service.domain.market import Market
from service.domain.quote import Quote
from service.domain.sessions import parse_sessions
from service.feed.feed import OnQuote
from service.health import (
    WatchedFeed,
    WatchedMarket,
    division_check,
    duty_check,
    engines_check,
    in_session,
    shares_check,
    traders_check,
)
from service.roles import ServiceRole
from service.storage.errors import Unreachable

WORKDAY = parse_sessions("UTC: Mon-Fri 08:00-16:00")
SHARE = Symbol(
    "ACME",
    2,
    Decimal(1),
    "USD",
    "USD",
    InstrumentType.COMMODITY,
    100,
    1_000_000,
    100,
    sessions=WORKDAY,
)
COIN = replace(SHARE, name="BTCUSD", sessions=None)
MONDAY = "2026-06-01"
SATURDAY = "2026-05-30"


class Line:
    """A feed that is well or not."""

    def __init__(self) -> None:
        self.healthy = True
        self.last_message_time: int | None = 1_000_000_000

    async def run(self, on_quote: OnQuote) -> None:
        raise NotImplementedError


class Floor:
    """Markets, a feed and a clock by hand."""

    def __init__(self, *symbols: Symbol) -> None:
        self.now = 0
        self.line = Line()
        self.markets = {symbol.name: Market(symbol) for symbol in symbols}
        self.watched = WatchedFeed(lambda: self.markets, 10.0, lambda: self.now)
        self.watched.feed = self.line

    def quote(self, name: str) -> None:
        self.markets[name].take(Quote(name, 100, 101, self.now))

    async def at(self, moment: str) -> tuple[bool, str]:
        self.set(moment)
        return await self.watched.check()

    def set(self, moment: str) -> None:
        time = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        self.now = int(time.timestamp()) * 1_000_000_000


async def test_quotes_in_session_must_be_fresh() -> None:
    floor = Floor(SHARE)
    assert await floor.at(f"{MONDAY}T09:00:00") == (False, "no quote yet")
    floor.quote("ACME")
    assert await floor.at(f"{MONDAY}T09:00:10") == (True, "last quote 10.0 s ago")
    assert await floor.at(f"{MONDAY}T09:00:11") == (False, "last quote 11.0 s ago")


@pytest.mark.parametrize("healthy", [True, False])
async def test_a_closed_market_is_no_fault(healthy: bool) -> None:
    floor = Floor(SHARE)
    floor.line.healthy = healthy
    assert await floor.at(f"{SATURDAY}T12:00:00") == (True, "no symbol is in session")


async def test_the_symbols_that_are_closed_do_not_count() -> None:
    floor = Floor(SHARE, COIN)
    floor.set(f"{SATURDAY}T12:00:00")
    floor.quote("ACME")
    assert await floor.at(f"{SATURDAY}T12:00:01") == (False, "no quote yet")
    floor.quote("BTCUSD")
    assert await floor.at(f"{SATURDAY}T12:00:02") == (True, "last quote 1.0 s ago")


async def test_each_symbol_is_in_session_by_its_own_sessions() -> None:
    floor = Floor(SHARE, COIN)
    floor.set(f"{MONDAY}T15:59:59")
    assert in_session(floor.markets, floor.now) == {"ACME": True, "BTCUSD": True}
    floor.set(f"{MONDAY}T16:00:00")
    assert in_session(floor.markets, floor.now) == {"ACME": False, "BTCUSD": True}


async def test_a_market_that_opens_has_time_for_its_first_quote() -> None:
    floor = Floor(SHARE)
    floor.set("2026-05-29T15:59:59")
    floor.quote("ACME")
    assert (await floor.at(f"{MONDAY}T07:59:59"))[0]
    assert (await floor.at(f"{MONDAY}T08:00:01"))[0]
    assert (await floor.at(f"{MONDAY}T08:00:11"))[0]
    assert not (await floor.at(f"{MONDAY}T08:00:12"))[0]
    floor.quote("ACME")
    assert (await floor.at(f"{MONDAY}T08:00:13"))[0]


async def test_nothing_is_well_before_symbols_and_messages_are_there() -> None:
    floor = Floor()
    assert await floor.at(f"{MONDAY}T09:00:00") == (False, "no quote yet")
    floor = Floor(COIN)
    floor.set(f"{MONDAY}T09:00:00")
    floor.quote("BTCUSD")
    floor.line.healthy = False
    assert await floor.watched.check() == (False, "no messages")
    floor.watched.feed = None
    assert await floor.watched.check() == (False, "no message yet")
    assert floor.watched.last_message_s == 0.0


async def test_a_market_needs_no_feed_of_its_own() -> None:
    floor = Floor(COIN)
    watched = WatchedMarket(lambda: floor.markets, 10.0, lambda: floor.now)
    floor.set(f"{MONDAY}T09:00:00")
    assert await watched.check() == (False, "no quote yet")
    floor.quote("BTCUSD")
    assert await watched.check() == (True, "last quote 0.0 s ago")


class Engine:
    """An engine's shards, by hand."""

    def __init__(self, *led: int) -> None:
        self.led = led
        self.has_lease = self.is_writing = True

    @property
    def is_leading(self) -> bool:
        return bool(self.led)

    def leads(self, shard: int) -> bool:
        return shard in self.led

    async def check_writer(self) -> tuple[bool, str]:
        return self.is_writing, "0 decisions wait"


async def test_an_engine_is_well_with_any_share_that_it_trades_well() -> None:
    engine = Engine(0, 3)
    check = shares_check(engine, 4)
    assert await check() == (True, "trades 0, 3 of 4 shards, 0 decisions wait")
    engine.is_writing = False
    assert await check() == (False, "trades 0, 3 of 4 shards, 0 decisions wait")
    engine.has_lease = False
    assert await check() == (False, "a lease could not be renewed in time")
    assert (await shares_check(Engine(), 4)())[0], "a rollout must not wait for a spare"


class Leases:
    """What the database knows of shards, by hand."""

    def __init__(self, of: int, *untraded: int) -> None:
        self.by: list[str | None] = [
            None if number in untraded else ServiceRole.ENGINE.new_holder() for number in range(of)
        ]
        self.is_away = False

    async def holders(self) -> list[str | None]:
        if self.is_away:
            raise Unreachable("away")
        return self.by


async def test_a_gateway_must_know_how_the_accounts_are_divided() -> None:
    assert await division_check(Leases(4), 4)() == (True, "4 shards")
    ok, detail = await division_check(Leases(4), 2)()
    assert not ok
    assert "TAPEWATCH_SHARDS says 2" in detail
    leases = Leases(4)
    leases.is_away = True
    assert await division_check(leases, 4)() == (False, "away")
    assert await traders_check(leases)() == (False, "away")
    assert await engines_check(leases)() == (False, "away")


async def test_a_gateway_says_what_nobody_trades() -> None:
    assert await traders_check(Leases(4))() == (True, "every shard is traded")
    assert await traders_check(Leases(4, 1, 3))() == (False, "nobody trades 1, 3 of 4 shards")


async def test_a_gateway_that_who_trades_does_not_hear_says_what_to_do() -> None:
    leases = Leases(4, 1)
    assert await engines_check(leases)() == (True, "who trades hears gateways")
    leases.by[2:] = [ServiceRole.ALL.new_holder()] * 2
    ok, detail = await engines_check(leases)()
    assert not ok
    assert detail.startswith("shards 2, 3 are traded by a process of role all")
    assert detail.endswith("start engines (tapewatch serve --role engine)")


async def test_a_feed_is_ready_on_duty_and_off() -> None:
    assert await duty_check(lambda: True)() == (True, "writes the ticks")
    assert await duty_check(lambda: False)() == (True, "stands by: another feed writes them")
