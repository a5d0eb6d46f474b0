"""Retention: what is old goes, in batches, whoever may not delete it otherwise; the rest stays."""

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from service.domain.order import OrderType
from service.domain.shard import AccountShard
from service.instruments import Instruments
from service.loops import retention
from service.loops.retention import Retention
from service.storage.database import Database
from service.storage.outbox import Outbox
from service.storage.retention import Kept, Pruning
from service.storage.shards import divide
from service.verify.verification import verify
from tests.adversity.book import execute, fetch
from tests.adversity.shard import Shard, open_small_book, trading_shard
from tests.integration.test_dealing_desk import AUTHOR, close, correct

LIVE = 1
DAY = timedelta(days=1)
YEARS = timedelta(days=400)
AGE = """
UPDATE retention_marks SET made_at = made_at - interval '{0} days';
UPDATE deals SET time = time - {0} * 86400 * 10^9::bigint;
UPDATE orders SET placed_time = placed_time - {0} * 86400 * 10^9::bigint,
    close_time = close_time - {0} * 86400 * 10^9::bigint;
"""
FOR_A_WEEK = {Kept.EVENTS: 7 * DAY, Kept.ANSWERS: 7 * DAY, Kept.DEALS: YEARS, Kept.AUDIT: YEARS}


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    await open_small_book(postgres_dsn, 2)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        yield shard


async def count(dsn: str) -> dict[str, int]:
    return {what: (await fetch(dsn, f"SELECT count(*) FROM {what}"))[0][0] for what in Kept}


async def age(dsn: str, days: int) -> None:
    """Let so many days go by since all that is stored."""
    await execute(dsn, AGE.format(days))


async def published(shard: Shard) -> None:
    [(last,)] = await fetch(shard.database.dsn, "SELECT max(event_id) FROM outbox")
    await Outbox(shard.database).mark_published(last)


def pruning(shard: Shard, keep: dict[Kept, timedelta] | None = None) -> Retention:
    return Retention(Pruning(shard.database), shard.trading, FOR_A_WEEK if keep is None else keep)


async def test_what_is_old_goes_and_what_is_young_stays(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    dsn = shard.database.dsn
    held = await shard.place(LIVE, key="old")
    for _ in range(4):
        await close(shard, await shard.place(LIVE))
    await published(shard)
    loop = pruning(shard)
    assert await loop.run_once() == 0, "nothing is old yet"
    before = await count(dsn)
    await age(dsn, 8)
    young = await shard.place(LIVE, OrderType.BUY_LIMIT, 100_000, key="young")
    assert await loop.run_once() == 9 + 1
    after = await count(dsn)
    assert (after[Kept.EVENTS], after[Kept.ANSWERS]) == (1, 1)
    assert after[Kept.DEALS] == before[Kept.DEALS], "which are kept for longer"
    assert [row.decode()[:1] for row in await shard.reader.events_after({LIVE: 9}, 10)] == ["{"]
    again = await shard.place(LIVE, key="young")
    assert again.order == young.order
    assert (await verify(dsn)).faults == []
    await age(dsn, 400)
    assert await loop.run_once() > 0
    assert held.order is not None
    left = await fetch(dsn, "SELECT order_id, event FROM deals")
    assert left == [(held.order.order_id, "OPEN")], "of what is open, every deal is kept"
    assert (await verify(dsn)).faults == []
    assert await loop.run_once() == 0


async def test_an_order_that_was_opened_again_keeps_its_deals(shard: Shard) -> None:
    dsn = shard.database.dsn
    order = await shard.place(LIVE)
    await correct(shard, await close(shard, order))
    gone = await shard.place(LIVE)
    await correct(shard, gone)
    await published(shard)
    loop = pruning(shard, {Kept.DEALS: YEARS})
    await loop.run_once()
    await age(dsn, 500)
    await loop.run_once()
    assert order.order is not None
    events = await fetch(dsn, "SELECT order_id, event FROM deals ORDER BY deal_id")
    assert events == [(order.order.order_id, each) for each in ("OPEN", "CLOSE", "CORRECTION")]
    await close(shard, order)
    await shard.drained()
    assert (await verify(dsn)).faults == []


async def test_what_redis_has_not_had_is_kept(shard: Shard) -> None:
    dsn = shard.database.dsn
    for _ in range(3):
        await shard.fund(LIVE, "1.00")
    await Outbox(shard.database).mark_published(2)
    loop = pruning(shard)
    await loop.run_once()
    await age(dsn, 30)
    await loop.run_once()
    assert await fetch(dsn, "SELECT event_id FROM outbox") == [(3,)]


async def test_the_audit_goes_after_years(shard: Shard) -> None:
    """The database lets nobody remove a younger entry, pruning or not."""
    dsn = shard.database.dsn
    for old in (True, False):
        await shard.administration.set_group(shard.desk.groups["gold"], AUTHOR)
        if old:
            await execute(
                dsn,
                "ALTER TABLE audit DISABLE TRIGGER audit_stays",
                f"UPDATE audit SET time = time - {401 * 86_400 * 10**9}",
                "ALTER TABLE audit ENABLE TRIGGER audit_stays",
            )
    assert await pruning(shard).run_once() == 1
    assert len(await shard.reader.audit(10)) == 1


@pytest.mark.parametrize(("what", "keep"), [(Kept.AUDIT, 364), (Kept.DEALS, 300), (Kept.EVENTS, 0)])
async def test_nobody_prunes_what_is_too_young(shard: Shard, what: Kept, keep: int) -> None:
    with pytest.raises(asyncpg.PostgresError, match=r"are kept for .* at least"):
        await Pruning(shard.database).prune(what, keep * DAY, 10)


async def test_it_gives_way_to_trading(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = shard.database.dsn
    await shard.fund(LIVE, "1.00")
    await published(shard)
    loop = pruning(shard)
    await loop.run_once()
    await age(dsn, 30)
    monkeypatch.setattr(type(shard.trading), "backlog", property(lambda _: 1_000))
    assert await loop.run_once() == 0
    monkeypatch.undo()
    assert await loop.run_once() == 1


async def test_a_shard_whose_ids_lag_behind_keeps_what_is_young(postgres_dsn: str) -> None:
    """Its newest events have lower ids than the oldest of a shard that does more."""
    await open_small_book(postgres_dsn, 2)
    connection = await asyncpg.connect(postgres_dsn)
    assert await divide(connection, 2) == 2
    insert = "INSERT INTO outbox VALUES ($1, $2, $3, '{}')"
    await connection.executemany(insert, [(1_000, 2, 1), (1_002, 2, 2), (11, 1, 1)])
    await connection.execute("UPDATE event_relay SET published_until = 5000")
    lease = "UPDATE shard_leases SET last_decision = $2 WHERE shard = $1"
    await connection.executemany(lease, [(0, 1_002), (1, 11)])
    database = Database(postgres_dsn, Instruments())
    shards = [Pruning(database, AccountShard(number, 2)) for number in range(2)]
    for each in shards:
        await each.mark()
    await age(postgres_dsn, 8)
    await connection.executemany(insert, [(13, 1, 2), (1_004, 2, 3)])
    assert [await each.prune(Kept.EVENTS, 7 * DAY, 10) for each in shards] == [2, 1]
    left = await connection.fetch("SELECT event_id FROM outbox ORDER BY event_id")
    assert [row[0] for row in left] == [13, 1_004]
    await connection.close()
    await database.close()


async def test_a_standby_prunes_nothing(shard: Shard) -> None:
    async with trading_shard(shard.database.dsn, holder="two", lead=False) as standby:
        assert await pruning(standby).run_once() == 0
