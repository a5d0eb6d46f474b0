"""Reads of committed state: pages without gaps or repeats, each read of one moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from operator import attrgetter
from typing import TypeVar

import msgspec
import pytest

from service.domain.commands import CommandDesk
from service.domain.decision import Decision, EventKind
from service.domain.order import OrderStatus, OrderType
from service.loops.requests import Author
from service.storage import database
from service.storage.embedded import EmbeddedPostgres
from service.storage.errors import Unreachable
from service.storage.reader import LedgerView, Reader
from service.storage.views import DealView, EventView, OrderView
from telemetry import catalogue
from telemetry.vocabulary import FAILURES
from tests.adversity.book import fetch
from tests.adversity.shard import SYMBOL, Resting, Shard, open_small_book, trading_shard
from tests.support import free_port, fresh_database

ACCOUNTS = 5
IDLE = 5  # the account that nothing happens to
Row = TypeVar("Row")


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    """Accounts 1 to 4 with an order pending, an order opened and closed, one open, one cancelled.

    Order `n` of account `a` is `4 * (n - 1) + a`: 1-4 pending, 5-8 closed, 9-12 open, 13-16
    cancelled.
    """
    resting = [
        *(Resting(account, OrderType.BUY_LIMIT, 90_000) for account in range(1, 5)),
        *(
            Resting(account, OrderType.BUY_STOP, 110_050, take_profit=110_200)
            for account in range(1, 5)
        ),
        *(Resting(account, OrderType.SELL_LIMIT, 110_150) for account in range(1, 5)),
        *(Resting(account, OrderType.SELL_STOP, 90_000) for account in range(1, 5)),
    ]
    await open_small_book(postgres_dsn, ACCOUNTS, resting)
    async with trading_shard(postgres_dsn) as shard:
        for bid in (110_000, 110_060, 110_300):
            shard.quote(bid)
        await shard.drained()
        for account in range(1, 5):
            await cancel(shard, account, 12 + account)
        yield shard


async def cancel(shard: Shard, account_id: int, order_id: int) -> EventView:
    def decide(commands: CommandDesk, now: int) -> Decision:
        return commands.cancel(account_id, order_id, now)

    return await shard.trading.command(account_id, None, decide)


async def pages(
    turn: Callable[[int, int | None], Awaitable[list[Row]]],
    key: Callable[[Row], int],
    limit: int,
    between: Callable[[], Awaitable[object]] | None = None,
) -> list[int]:
    """Turn all pages, doing something between them; return the ids in the order they came."""
    ids: list[int] = []
    before = None
    while page := await turn(limit, before):
        assert len(page) <= limit
        ids += [key(row) for row in page]
        before = ids[-1]
        if between is not None:
            await between()
    return ids


# Pages


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_orders_are_paged_newest_first_while_new_ones_arrive(
    limit: int, shard: Shard
) -> None:
    async def turn(limit: int, before: int | None) -> list[OrderView]:
        return await shard.reader.orders(2, None, None, limit, before)

    async def between() -> None:
        await shard.place(2, OrderType.BUY_LIMIT, 90_000)

    assert await pages(turn, attrgetter("order_id"), limit, between) == [14, 10, 6, 2]
    assert len(await shard.reader.orders(2, None, None, 100)) > 4


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_deals_are_paged_newest_first_while_new_ones_arrive(limit: int, shard: Shard) -> None:
    async def turn(limit: int, before: int | None) -> list[DealView]:
        return await shard.reader.deals(2, limit, before)

    async def between() -> None:
        await shard.place(2)

    stored = await fetch(
        shard.database.dsn, "SELECT deal_id FROM deals WHERE account_id = 2 ORDER BY 1 DESC"
    )
    assert len(stored) == 4
    assert await pages(turn, attrgetter("deal_id"), limit, between) == [row[0] for row in stored]


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_the_ledger_is_paged_newest_first_while_it_grows(limit: int, shard: Shard) -> None:
    async def turn(limit: int, before: int | None) -> list[LedgerView]:
        return await shard.reader.ledger(2, limit, before)

    async def between() -> None:
        await shard.fund(2, "1.00")

    stored = await fetch(
        shard.database.dsn, "SELECT entry_id FROM ledger WHERE account_id = 2 ORDER BY 1 DESC"
    )
    assert len(stored) == 5  # the first deposit, three commissions, a profit
    assert await pages(turn, attrgetter("entry_id"), limit, between) == [row[0] for row in stored]


async def test_a_ledger_page_sums_to_the_balance(shard: Shard) -> None:
    entries = await shard.reader.ledger(2, 100)
    account = await shard.reader.account(2)
    assert account is not None
    assert sum(Decimal(entry.amount) for entry in entries) == Decimal(account.balance)
    assert entries[0].balance_after == account.balance
    assert (entries[-1].kind, entries[-1].order_id) == ("DEPOSIT", None)
    assert entries[-1].time == "1970-01-01T00:00:00.000Z"


async def test_accounts_are_paged_by_id(shard: Shard) -> None:
    ids: list[int] = []
    while page := await shard.reader.accounts(ids[-1] if ids else 0, 2):
        ids += [account.account_id for account in page]
    assert ids == [1, 2, 3, 4, 5]
    assert page == []


# Filters


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([OrderStatus.PENDING], [1]),
        ([OrderStatus.OPEN], [9]),
        ([OrderStatus.CLOSED, OrderStatus.CANCELLED], [13, 5]),
        (list(OrderStatus), [13, 9, 5, 1]),
        ([], []),
    ],
)
async def test_orders_of_some_statuses(
    statuses: list[OrderStatus], expected: list[int], shard: Shard
) -> None:
    found = await shard.reader.orders(1, statuses, None, 100)
    assert [order.order_id for order in found] == expected
    assert {order.status for order in found} <= set(statuses)


async def test_orders_of_a_symbol(shard: Shard) -> None:
    both = await shard.reader.orders(1, [OrderStatus.PENDING, OrderStatus.OPEN], SYMBOL, 1)
    assert [order.order_id for order in both] == [9]
    assert await shard.reader.orders(1, None, "USDJPY", 100) == []


async def test_an_order_is_shown_to_its_account_alone(shard: Shard) -> None:
    order = await shard.reader.order(1, 5)
    assert order is not None
    assert (order.status, order.reason) == (OrderStatus.CLOSED, "TAKE_PROFIT")
    assert (order.open_price, order.close_price) == ("1.10070", "1.10300")
    assert (order.profit, order.volume) == ("2.30", "0.01")
    assert await shard.reader.order(2, 5) is None
    assert await shard.reader.order(1, 1_000) is None


async def test_what_is_not_there_is_not_found(shard: Shard) -> None:
    assert await shard.reader.account(99) is None
    assert await shard.reader.orders(99, None, None, 10) == []
    assert await shard.reader.ledger(99, 10) == []
    assert await shard.reader.deals(99, 10) == []
    assert await shard.reader.events_after({99: 0}, 10) == []


async def test_a_cancellation_shows_no_fill(shard: Shard) -> None:
    [deal, *_] = await shard.reader.deals(1, 1)
    assert (deal.order_id, deal.event, deal.reason) == (13, "CANCEL", "CLIENT")
    assert (deal.volume, deal.price, deal.slippage_points) == (None, None, None)
    assert (deal.profit, deal.commission) == ("0.00", "0.00")


# Live orders


async def test_live_orders_of_several_accounts_come_from_one_statement(shard: Shard) -> None:
    calls = shard.instruments.metrics.histogram(catalogue.STORE_OPERATION)
    before = calls.child("postgresql", "live_orders").count
    found = await shard.reader.live_orders([IDLE, 3, 99, 1])
    assert calls.child("postgresql", "live_orders").count == before + 1
    ids = {account: [order.order_id for order in live] for account, (_, live) in found.items()}
    assert ids == {1: [1, 9], 3: [3, 11], IDLE: []}
    for account_id, (account, orders) in found.items():
        assert account == await shard.reader.account(account_id)
        for order in orders:
            assert order == await shard.reader.order(account_id, order.order_id)


async def test_live_orders_of_nobody_are_none(shard: Shard) -> None:
    assert await shard.reader.live_orders([]) == {}


async def test_every_term_of_an_order_is_shown_as_it_was_told(shard: Shard) -> None:
    """Events come from memory, reads from the database: one order, shown twice the same."""
    placed = await shard.place(
        IDLE,
        OrderType.BUY_STOP_LIMIT,
        111_000,
        limit_price=110_900,
        trailing_distance=50,
        expires_at=4_000_000_000_123_000_000,
    )
    assert placed.order is not None
    assert placed.order.expires_at == "2096-10-02T07:06:40.123Z"
    assert await shard.reader.order(IDLE, placed.order.order_id) == placed.order
    shard.quote(111_000)
    shard.quote(110_880)
    await shard.drained()
    [told] = [
        msgspec.json.decode(payload, type=EventView)
        for payload in await shard.reader.events_after({IDLE: placed.sequence + 1}, 10)
    ]
    assert told.order is not None
    assert told.order.activated_at is not None
    assert (told.kind, told.order.stop_loss) == ("OPENED", "1.10830")
    found = await shard.reader.live_orders([IDLE])
    account, [order] = found[IDLE]
    assert order == told.order
    assert (account.margin, account.in_margin_call) == (told.margin, False)


async def test_an_account_in_a_margin_call_is_shown_so(shard: Shard) -> None:
    account_id = 1
    plain = shard.desk.groups["plain"]
    steep = replace(plain, margin_call_level=Decimal(10**9), margin_call_hysteresis=Decimal(0))
    await shard.administration.set_group(steep, Author("7"))
    shard.quote(110_301)
    await shard.drained()
    last = shard.desk.accounts[account_id].sequence
    [payload] = await shard.reader.events_after({account_id: last - 1}, 10)
    event = msgspec.json.decode(payload, type=EventView)
    assert (event.kind, event.in_margin_call) == ("MARGIN_CALLED", True)
    assert (event.order, event.deal) == (None, None)
    account = await shard.reader.account(account_id)
    assert account is not None
    assert account.in_margin_call
    assert account.sequence == event.sequence


# Events and answers


async def test_events_follow_a_sequence_up_to_a_limit(shard: Shard) -> None:
    account = await shard.reader.account(1)
    assert account is not None
    last = account.sequence
    payloads = await shard.reader.events_after({1: 0}, 1_000)
    events = [msgspec.json.decode(payload, type=EventView) for payload in payloads]
    assert [event.sequence for event in events] == list(range(1, last + 1))
    assert {event.account_id for event in events} == {1}
    assert events[-1].kind is EventKind.CANCELLED
    assert await shard.reader.events_after({1: 0}, 2) == payloads[:2]
    assert await shard.reader.events_after({1: 1}, 2) == payloads[1:3]
    assert await shard.reader.events_after({1: last - 1}, 2) == payloads[-1:]
    assert await shard.reader.events_after({1: last}, 2) == []
    assert await shard.reader.events_after({1: last + 5}, 2) == payloads[-1:], "it has gone back"


async def test_the_answer_to_a_key_is_the_event_it_made(shard: Shard) -> None:
    event = await shard.fund(1, "5.00", key="k")
    answer = await shard.reader.answer(1, "k")
    assert answer is not None
    assert msgspec.json.decode(answer, type=EventView) == event
    assert answer == (await shard.reader.events_after({1: event.sequence - 1}, 1))[0]
    assert await shard.reader.answer(1, "other") is None
    assert await shard.reader.answer(2, "k") is None


# Without a database


async def test_a_database_that_is_gone_is_unreachable(postgres_server: EmbeddedPostgres) -> None:
    async with fresh_database(postgres_server) as dsn:
        await open_small_book(dsn, 1)
        shard = Shard(dsn, "one", 3.0)
        assert await shard.reader.account(1) is not None
    try:
        await check_unreachable(shard)
    finally:
        await shard.database.close()


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    shard = Shard(f"postgresql://nobody@127.0.0.1:{free_port()}/none", "one", 3.0)
    try:
        await check_unreachable(shard)
    finally:
        await shard.database.close()


async def check_unreachable(shard: Shard) -> None:
    reader = shard.reader
    reads: list[Awaitable[object]] = [
        reader.account(1),
        reader.accounts(0, 1),
        reader.live_orders([1]),
        reader.orders(1, None, None, 1),
        reader.order(1, 1),
        reader.ledger(1, 1),
        reader.deals(1, 1),
        reader.events_after({1: 0}, 1),
        reader.answer(1, "k"),
        reader.audit(1),
        reader.dealt(1),
    ]
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unreachable] * len(reads)
    errors = shard.instruments.metrics.counter(catalogue.STORE_ERRORS)
    assert sum(errors.child("postgresql", "account", each).value for each in FAILURES) == 1


async def test_a_reader_that_finds_all_connections_busy_is_told(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "ACQUIRE_TIMEOUT_S", 0.1)
    held = [shard.database.read("load") for _ in range(database.READ_POOL_SIZE)]
    for each in held:
        await each.__aenter__()
    try:
        with pytest.raises(Unreachable):
            await shard.reader.account(1)
    finally:
        for each in held:
            await each.__aexit__(None, None, None)
    assert await shard.reader.account(1) is not None


async def test_orders_are_unreachable_until_their_symbols_are_loaded(shard: Shard) -> None:
    starting = Reader(shard.database, dict)
    with pytest.raises(Unreachable, match="not loaded yet"):
        await starting.live_orders([1])
    with pytest.raises(Unreachable, match="not loaded yet"):
        await starting.orders(1, None, None, 1)
    with pytest.raises(Unreachable, match="not loaded yet"):
        await starting.deals(1, 1)
