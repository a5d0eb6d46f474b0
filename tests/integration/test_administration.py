"""Settings and accounts change in memory and in the database, or in neither."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import asyncpg
import pytest

from service.domain.instrument import FillPolicy, InstrumentType, Symbol, UserType
from service.domain.order import OrderType
from service.domain.rejection import RejectCode, Rejected
from service.loops.answers import Unavailable, Withdrawn
from service.loops.requests import Author
from tests.adversity.book import check_book, execute, fetch, locked_out
from tests.adversity.shard import (
    EURUSD,
    GOLD,
    SYMBOL,
    Resting,
    Shard,
    open_small_book,
    opened,
    terms_of,
    trading_shard,
)
from tests.faultproxy import Moment
from tests.proxied import in_front_of, through
from tests.support import eventually

AUTHOR = Author("7", "a test")
CROWD = [
    Resting(1 + number % 10, order_type, 110_000 + sign * (50 + number), None, None)
    for number in range(100)
    for order_type, sign in ((OrderType.BUY_LIMIT, -1), (OrderType.SELL_LIMIT, 1))
]


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    await open_small_book(postgres_dsn, 10, CROWD)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        yield shard


async def test_a_changed_markup_moves_memory_and_stored_triggers(shard: Shard) -> None:
    before = {o.order_id: o.trigger for o in shard.desk.orders.values()}
    await shard.administration.set_terms(terms_of("gold", 20), AUTHOR)
    for order in shard.desk.orders.values():
        moved = order.trigger != before[order.order_id]
        assert moved == (order.terms.group.name == "gold")
    await check_book(shard.database.dsn, shard)
    stored = await fetch(shard.database.dsn, "SELECT spread FROM group_symbols ORDER BY spread")
    assert stored == [(Decimal(0),), (Decimal(20),)]


async def test_a_changed_tolerance_moves_the_triggers_of_all_groups(shard: Shard) -> None:
    await shard.administration.set_symbol(replace(EURUSD, trigger_tolerance_points=3), AUTHOR)
    await check_book(shard.database.dsn, shard)
    shard.quote(110_046 - 10 - 99)  # within the tolerance of the first buy limits
    await shard.drained()
    assert opened(shard)
    await check_book(shard.database.dsn, shard)


async def test_markups_change_under_load(shard: Shard) -> None:
    async def trade() -> None:
        for step in range(150):
            shard.quote(110_000 + (step * 37) % 300 - 150)
            if step % 3 == 0:
                account, bid = 1 + step % 10, shard.desk.markets[SYMBOL].bid
                await shard.place(account, OrderType.BUY_LIMIT, bid - 120, stop_loss=bid - 900)
            await asyncio.sleep(0)

    async def administer() -> None:
        markup = 0
        while not trading.done():
            markup = (markup + 13) % 60
            await shard.administration.set_terms(terms_of("gold", markup, "3.50"), AUTHOR)
            await shard.administration.set_group(
                replace(GOLD, fill_policy=FillPolicy.REQUESTED), AUTHOR
            )

    trading = asyncio.create_task(trade())
    await asyncio.gather(trading, administer())
    await shard.drained()
    await shard.sweeps.run_once()
    assert shard.sweeps.missed == 0
    assert shard.decisions("failed") == 0
    await check_book(shard.database.dsn, shard)


async def test_a_new_symbol_is_traded_after_a_restart(shard: Shard, postgres_dsn: str) -> None:
    cable = Symbol(
        "GBPUSD", 5, Decimal(100_000), "GBP", "USD", InstrumentType.FOREX, 100, 10_000, 100
    )
    await shard.administration.set_symbol(cable, AUTHOR)
    await shard.administration.set_terms(replace(terms_of("gold", 4), symbol="GBPUSD"), AUTHOR)
    await check_book(postgres_dsn, shard)
    async with trading_shard(postgres_dsn) as again:  # the same holder takes over
        assert ("gold", "GBPUSD") in again.desk.terms
        assert again.desk.markets["GBPUSD"].symbol == cable


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.set_symbol(replace(EURUSD, digits=4), AUTHOR),
        lambda a: a.set_terms(replace(terms_of("gold", 1), spread=Decimal("0.5")), AUTHOR),
        lambda a: a.set_terms(terms_of("nobody", 1), AUTHOR),
        lambda a: a.set_terms(replace(terms_of("gold", 1), symbol="NONE"), AUTHOR),
        lambda a: a.create_account(1, UserType.LIVE, "gold", Decimal(1), Decimal(1), AUTHOR),
        lambda a: a.create_account(0, UserType.LIVE, "gold", Decimal(1), Decimal(1), AUTHOR),
        lambda a: a.create_account(99, UserType.LIVE, "nobody", Decimal(1), Decimal(1), AUTHOR),
        lambda a: a.create_account(99, UserType.LIVE, "gold", Decimal(0), Decimal(1), AUTHOR),
        lambda a: a.create_account(99, UserType.LIVE, "gold", Decimal("NaN"), Decimal(1), AUTHOR),
        lambda a: a.create_account(99, UserType.LIVE, "gold", Decimal(1), Decimal(-1), AUTHOR),
        lambda a: a.create_account(99, UserType.LIVE, "gold", Decimal(1), Decimal("0.001"), AUTHOR),
        lambda a: a.create_account(99, UserType.LIVE, "gold", Decimal(1), Decimal("1e12"), AUTHOR),
        lambda a: a.create_account(99, UserType.LIVE, "gold", Decimal(1), Decimal("NaN"), AUTHOR),
    ],
)
async def test_what_is_refused_changes_nothing(change, shard: Shard) -> None:  # type: ignore[no-untyped-def]
    tables = ("symbols", "groups", "group_symbols", "accounts", "ledger")
    dsn = shard.database.dsn
    before = shard.memory(), [await fetch(dsn, f"SELECT * FROM {table}") for table in tables]
    with pytest.raises(Rejected):
        await change(shard.administration)
    assert before == (
        shard.memory(),
        [await fetch(dsn, f"SELECT * FROM {table}") for table in tables],
    )
    assert shard.trading.is_leading
    await check_book(dsn, shard)


async def test_a_new_account_has_its_first_deposit_and_trades(shard: Shard) -> None:
    await shard.administration.create_account(
        99, UserType.DEMO, "gold", Decimal(30), Decimal("500.00"), AUTHOR
    )
    await check_book(shard.database.dsn, shard)
    assert shard.desk.accounts[99].balance == Decimal("500.00")
    await shard.place(99)
    with pytest.raises(Rejected) as refused:
        await shard.administration.create_account(
            99, UserType.DEMO, "gold", Decimal(30), Decimal("500.00"), AUTHOR
        )
    assert refused.value.code is RejectCode.ACCOUNT_EXISTS
    await check_book(shard.database.dsn, shard)


@pytest.mark.parametrize("pattern", [b"INSERT INTO ledger", b"COMMIT"])
async def test_a_change_whose_commit_reply_is_lost_is_made_once(
    pattern: bytes, postgres_dsn: str
) -> None:
    await open_small_book(postgres_dsn, 2)
    async with (
        in_front_of(postgres_dsn) as proxy,
        trading_shard(through(proxy, postgres_dsn)) as shard,
    ):
        trap = proxy.arm(pattern, Moment.BEFORE_REPLY)
        creating = asyncio.create_task(
            shard.administration.create_account(
                99, UserType.LIVE, "gold", Decimal(30), Decimal("500.00"), AUTHOR
            )
        )
        await trap.sprung()
        trap.cut()
        await creating
        await shard.fund(99, "1.00")
        assert shard.trading.is_leading
        await check_book(postgres_dsn, shard)


async def test_a_change_the_database_refuses_starts_over_from_what_is_stored(shard: Shard) -> None:
    """What memory took already must not stay: orders would rest under terms nobody stored."""
    dsn = shard.database.dsn
    await execute(dsn, "ALTER TABLE group_symbols ADD CONSTRAINT planted CHECK (spread < 30)")
    with pytest.raises(Withdrawn):
        await shard.administration.set_terms(terms_of("gold", 40), AUTHOR)
    await eventually(lambda: shard.desk.terms["gold", SYMBOL].settings.spread == 7)
    async with asyncio.timeout(30):
        await shard.leadership.gained()
    await check_book(dsn, shard)
    shard.quote(110_000)
    await shard.fund(1, "1.00")
    await check_book(dsn, shard)


async def test_a_change_under_a_lost_lease_is_not_made_and_says_so(shard: Shard) -> None:
    dsn = shard.database.dsn
    await execute(
        dsn,
        "UPDATE shard_leases SET epoch = epoch + 1, holder = 'thief', "
        "expires_at = now() + interval '1 hour'",
    )
    with pytest.raises(Unavailable, match="before this was stored"):
        await shard.administration.set_terms(terms_of("gold", 40), AUTHOR)
    await eventually(lambda: not shard.trading.is_leading)
    assert await fetch(dsn, "SELECT max(spread) FROM group_symbols") == [(7,)]


async def test_a_change_waits_for_what_was_decided_before_it(shard: Shard) -> None:
    dsn = shard.database.dsn
    holder = await asyncpg.connect(dsn)
    async with holder.transaction():
        await holder.execute("SELECT FROM shard_leases FOR UPDATE")
        placing = asyncio.create_task(shard.place(2, OrderType.BUY_LIMIT, 109_000))
        await locked_out(dsn)
        changing = asyncio.create_task(shard.administration.set_terms(terms_of("gold", 31), AUTHOR))
        after = asyncio.create_task(shard.place(2, OrderType.BUY_LIMIT, 109_000))
        await asyncio.sleep(0.1)
        assert not placing.done()
        assert not changing.done()
    await holder.close()
    await asyncio.gather(placing, changing, after)
    await check_book(dsn, shard)


async def test_a_settings_connection_that_falls_silent_frees_the_lease(postgres_dsn: str) -> None:
    """In the middle of its transaction it holds the lease's row: the server must end it."""
    await open_small_book(postgres_dsn, 2)
    async with (
        in_front_of(postgres_dsn) as proxy,
        trading_shard(through(proxy, postgres_dsn), lease_life_s=60) as shard,
    ):
        trap = proxy.arm(b"INSERT INTO ledger", Moment.BEFORE_FORWARD)
        creating = asyncio.create_task(
            shard.administration.create_account(
                99, UserType.LIVE, "gold", Decimal(30), Decimal("500.00"), AUTHOR
            )
        )
        await trap.sprung()
        with pytest.raises(Unavailable, match="not stored yet"):
            await creating
        await execute(
            postgres_dsn, "UPDATE shard_leases SET holder = holder"
        )  # not locked for ever
        trap.cut()
        await shard.drained()
        assert await fetch(postgres_dsn, "SELECT balance FROM accounts WHERE account_id = 99") == [
            (500,)
        ]
        await check_book(postgres_dsn, shard)
