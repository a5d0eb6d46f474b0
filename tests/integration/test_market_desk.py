"""A process that trades nothing knows settings and last prices, and takes over what changes."""

import time
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from service.domain.quote import Quote
from service.instruments import Instruments
from service.loops.market_desk import MarketDesk
from service.storage.database import Database
from service.storage.errors import Unreachable
from tests.adversity.book import execute
from tests.adversity.shard import GUARD, SYMBOL, open_small_book
from tests.support import free_port

CHANGE = (
    "UPDATE group_symbols SET spread = spread + 20 WHERE group_name = 'gold'",
    "UPDATE shard_leases SET settings_version = settings_version + 1 WHERE shard = 0",
)


def now() -> int:
    return time.time_ns()


@pytest.fixture
async def market(postgres_dsn: str) -> AsyncIterator[MarketDesk]:
    await open_small_book(postgres_dsn, 2)
    await execute(postgres_dsn, f"INSERT INTO quotes VALUES ('{SYMBOL}', 110000, 110010, {now()})")
    database = Database(postgres_dsn, Instruments())
    yield MarketDesk(database, GUARD)
    await database.close()


def spread(market: MarketDesk) -> Decimal:
    return market.desk.terms["gold", SYMBOL].settings.spread


def bid(market: MarketDesk) -> int:
    return market.desk.markets[SYMBOL].bid


async def test_it_begins_with_what_is_stored(market: MarketDesk) -> None:
    assert not market.is_informed
    await market.run_once()
    await market.informed()
    assert set(market.symbols()) == {SYMBOL}
    assert set(market.desk.groups) == {"plain", "gold"}
    assert bid(market) == 110_000
    assert not market.desk.accounts


async def test_it_takes_over_newer_settings_and_keeps_the_prices(
    market: MarketDesk, postgres_dsn: str
) -> None:
    told: list[Decimal] = []
    market.settings_hooks.append(lambda: told.append(spread(market)))
    await market.run_once()
    market.on_quote(Quote(SYMBOL, 110_020, 110_030, now()))
    before = spread(market)
    await execute(postgres_dsn, CHANGE[0])
    await market.run_once()
    assert spread(market) == before, "it asks for the version alone"
    await execute(postgres_dsn, CHANGE[1])
    await market.run_once()
    await market.run_once()
    assert told == [before, before + 20]
    assert bid(market) == 110_020


async def test_it_takes_over_the_settings_of_a_restored_database(
    market: MarketDesk, postgres_dsn: str
) -> None:
    await market.run_once()
    before = spread(market)
    await execute(postgres_dsn, *CHANGE)
    await market.run_once()
    assert spread(market) == before + 20
    await execute(postgres_dsn, CHANGE[0].replace("+", "-"), CHANGE[1].replace("+", "-"))
    await market.run_once()
    assert spread(market) == before
    await execute(postgres_dsn, *CHANGE)
    await market.run_once()
    assert spread(market) == before + 20


async def test_what_engines_refuse_is_no_price_here_either(market: MarketDesk) -> None:
    await market.run_once()
    for quote in (
        Quote("NOWHERE", 1, 2, now()),
        Quote(SYMBOL, 110_011, 110_010, now()),
        Quote(SYMBOL, 110_001, 110_010, now() - 60_000_000_000),
    ):
        market.on_quote(quote)
    assert bid(market) == 110_000


async def test_without_a_database_it_knows_nothing_and_says_so() -> None:
    database = Database(f"postgresql://nobody@127.0.0.1:{free_port()}/x", Instruments())
    market = MarketDesk(database, GUARD)
    with pytest.raises(Unreachable):
        await market.run_once()
    assert not market.is_informed
    assert not market.symbols()
    await database.close()
