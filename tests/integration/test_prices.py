"""The price board: group prices, numbered, to subscribers and to Redis."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from random import Random

import msgspec
import pytest

from service.domain.desk import Desk
from service.instruments import Instruments
from service.loops.prices import PriceBoard, PricesMessage
from service.loops.supervisor import Supervisor
from service.storage.cache import Cache
from service.storage.group_views import PriceView
from telemetry import catalogue
from telemetry.vocabulary import FAILURES
from tests.proxied import in_front_of, through
from tests.support import eventually
from tests.trading_desk import NOW, make_desk, quote


class Listener:
    def __init__(self) -> None:
        self.contents: list[bytes] = []

    def __call__(self, content: bytes) -> None:
        self.contents.append(content)

    @property
    def messages(self) -> list[PricesMessage]:
        return [msgspec.json.decode(each, type=PricesMessage) for each in self.contents]


def has_told(listener: Listener, count: int) -> bool:
    return len(listener.contents) == count


@pytest.fixture
def desk() -> Desk:
    return make_desk()


@pytest.fixture
async def board(desk: Desk, cache: Cache, instruments: Instruments) -> PriceBoard:
    return PriceBoard(lambda: desk, cache, instruments)


@contextlib.asynccontextmanager
async def running(board: PriceBoard) -> AsyncIterator[None]:
    async with Supervisor(Instruments(), Random()).group() as loops:
        loops.repeat("prices", board.run_once, interval_s=0.005)
        loops.keep("price_writer", board.write, board.pulse)
        yield


def euro(sell: str, buy: str) -> PriceView:
    return PriceView(symbol="EURUSD", sell=sell, buy=buy, time="2026-01-05T08:00:00.000Z")


async def test_each_group_sees_its_own_price(board: PriceBoard, desk: Desk) -> None:
    gold, silver = Listener(), Listener()
    board.subscribe("gold", gold)
    board.subscribe("silver", silver)
    quote(desk, "EURUSD", 110_000, 110_010)
    board.show()
    assert gold.messages == [
        PricesMessage(group="gold", sequence=1, quotes=[euro("1.10000", "1.10010")])
    ]
    assert silver.messages == [
        PricesMessage(group="silver", sequence=1, quotes=[euro("1.09999", "1.10012")])
    ]
    assert msgspec.json.decode(gold.contents[0])["type"] == "quotes"


async def test_only_what_changed_is_told_and_numbers_have_no_gap(
    board: PriceBoard, desk: Desk
) -> None:
    listener = Listener()
    board.subscribe("gold", listener)
    board.show()
    quote(desk, "EURUSD", 110_000, 110_010)
    quote(desk, "USDJPY", 150_000, 150_010)
    board.show()
    board.show()
    quote(desk, "USDJPY", 150_001, 150_011, NOW + 1)
    board.show()
    told = [(each.sequence, [q.symbol for q in each.quotes]) for each in listener.messages]
    assert told == [(1, ["EURUSD", "USDJPY"]), (2, ["USDJPY"])]
    assert board.sequence("gold") == 2
    assert board.sequence("nobody") == 0


async def test_a_changed_markup_is_shown_without_a_new_quote(board: PriceBoard, desk: Desk) -> None:
    listener = Listener()
    board.subscribe("silver", listener)
    quote(desk, "EURUSD", 110_000, 110_010)
    board.show()
    settings = desk.terms["silver", "EURUSD"].settings
    desk.set_terms(replace(settings, spread=settings.spread + 2))
    board.settings_changed()
    board.show()
    assert [each.quotes for each in listener.messages] == [
        [euro("1.09999", "1.10012")],
        [euro("1.09998", "1.10013")],
    ]


async def test_a_message_is_serialised_once_for_all_and_not_at_all_for_none(
    board: PriceBoard, desk: Desk, instruments: Instruments
) -> None:
    first, second = Listener(), Listener()
    board.subscribe("gold", first)
    end = board.subscribe("gold", second)
    quote(desk, "EURUSD", 110_000, 110_010)
    board.show()
    assert first.contents[0] is second.contents[0]
    assert instruments.metrics.counter(catalogue.PRICE_MESSAGES).child().value == 1
    end()
    end()
    quote(desk, "EURUSD", 110_001, 110_011)
    board.show()
    assert (len(first.contents), len(second.contents)) == (2, 1)
    assert board.sequence("silver") == 2


async def test_a_symbol_and_a_desk_that_come_later_are_shown(
    cache: Cache, instruments: Instruments
) -> None:
    desks = [Desk()]
    board = PriceBoard(lambda: desks[-1], cache, instruments)
    listener = Listener()
    board.subscribe("gold", listener)
    board.show()
    desks.append(make_desk())
    quote(desks[-1], "EURUSD", 110_000, 110_010)
    board.show()
    assert [each.sequence for each in listener.messages] == [1]


async def test_a_subscriber_that_fails_does_not_keep_prices_from_the_others(
    board: PriceBoard, desk: Desk
) -> None:
    def broken(content: bytes) -> None:
        raise RuntimeError("no")

    listener = Listener()
    board.subscribe("gold", broken)
    board.subscribe("gold", listener)
    quote(desk, "EURUSD", 110_000, 110_010)
    board.show()
    assert len(listener.contents) == 1


async def test_redis_gets_the_prices_of_all_groups(
    board: PriceBoard, desk: Desk, cache: Cache
) -> None:
    async with running(board):
        quote(desk, "EURUSD", 110_000, 110_010)
        found: dict[str, PriceView] = {}
        async with asyncio.timeout(30):
            while len(found) < 2:
                for group in ("gold", "silver"):
                    if (known := await cache.groups.prices(group)) is not None:
                        found[group] = known["EURUSD"]
                await asyncio.sleep(0.01)
    assert found == {"gold": euro("1.10000", "1.10010"), "silver": euro("1.09999", "1.10012")}


async def test_of_several_boards_one_writes_and_begins_with_all(
    desk: Desk, cache: Cache, instruments: Instruments
) -> None:
    is_writer = [False]
    board = PriceBoard(lambda: desk, cache, instruments, lambda: is_writer[0])
    listener = Listener()
    board.subscribe("gold", listener)
    quote(desk, "EURUSD", 110_000, 110_010)
    board.settings_changed()
    board.show()
    assert len(listener.contents) == 1
    assert board.is_idle
    is_writer[0] = True
    quote(desk, "USDJPY", 150_000, 150_010)
    board.settings_changed()
    async with running(board):
        await eventually(lambda: len(listener.contents) == 2 and board.is_idle)
    assert set(await cache.groups.prices("gold") or {}) == {"EURUSD", "USDJPY"}
    assert await cache.groups.symbols("gold") is not None


async def test_redis_keeps_no_price_that_a_markup_has_made_none(
    board: PriceBoard, desk: Desk, cache: Cache
) -> None:
    async def stored(*symbols: str) -> None:
        async with asyncio.timeout(30):
            while (await cache.groups.prices("silver") or {}).keys() != set(symbols):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async with running(board):
        quote(desk, "EURUSD", 110_000, 110_010)
        quote(desk, "USDJPY", 150_000, 150_020)
        await stored("EURUSD", "USDJPY")
        settings = desk.terms["silver", "EURUSD"].settings
        desk.set_terms(replace(settings, spread=Decimal(1_000_000)))
        board.settings_changed()
        await stored("USDJPY")
        desk.set_terms(settings)
        board.settings_changed()
        await stored("EURUSD", "USDJPY")


async def test_a_redis_that_hangs_delays_no_subscriber(
    desk: Desk, redis_url: str, instruments: Instruments
) -> None:
    async with in_front_of(redis_url) as proxy:
        cache = Cache(through(proxy, redis_url), instruments)
        board = PriceBoard(lambda: desk, cache, instruments)
        listener = Listener()
        board.subscribe("gold", listener)
        proxy.pause()
        async with running(board):
            for step in range(20):
                quote(desk, "EURUSD", 110_000 + step, 110_010 + step)
                await eventually(partial(has_told, listener, step + 1))
            assert failures(instruments, "write_prices") == 0
        proxy.resume()
        await cache.close()


async def test_the_newest_price_wins_where_redis_was_slow(
    board: PriceBoard, desk: Desk, cache: Cache
) -> None:
    for step in range(5):
        quote(desk, "EURUSD", 110_000 + step, 110_010 + step)
        board.show()
    async with running(board), asyncio.timeout(30):
        while await cache.groups.prices("gold") is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    found = await cache.groups.prices("gold")
    assert found == {"EURUSD": euro("1.10004", "1.10014")}


def failures(instruments: Instruments, operation: str) -> float:
    """Return how many calls of an operation of Redis failed."""
    failed = instruments.metrics.counter(catalogue.STORE_ERRORS)
    return sum(failed.child("redis", operation, each).value for each in FAILURES)


async def test_terms_that_redis_missed_are_stored_once_it_is_back(
    desk: Desk, instruments: Instruments, redis_url: str
) -> None:
    async with in_front_of(redis_url) as proxy:
        cache = Cache(through(proxy, redis_url), instruments)
        board = PriceBoard(lambda: desk, cache, instruments)
        proxy.pause()
        board.settings_changed()
        async with running(board), asyncio.timeout(30):
            await eventually(lambda: failures(instruments, "write_symbols") > 0)
            proxy.resume()
            step = 0
            while await cache.groups.symbols("silver") is None:
                quote(desk, "EURUSD", 110_000 + step, 110_010 + step)
                step += 1
                await asyncio.sleep(0.01)
        await cache.close()


async def test_a_groups_symbols_are_stored_with_its_terms(board: PriceBoard, cache: Cache) -> None:
    board.settings_changed()
    async with running(board), asyncio.timeout(30):
        while await cache.groups.symbols("silver") is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    silver = await cache.groups.symbols("silver")
    assert silver is not None
    assert {each.symbol: each.spread for each in silver} == {
        "EURUSD": "3",
        "USDJPY": "3",
        "EURGBP": "3",
    }
    assert silver[0].contract_size == "100000"
    assert silver[0].min_lot == "0.01"
    assert Decimal(silver[0].margin_factor) == 1
