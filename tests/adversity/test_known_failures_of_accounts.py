"""How accounts have failed in practice: not looked at, or with a margin that was not theirs.

Each test is named after the failure that it would have caught, and says how that came about. What
other tests catch already is listed in `tests/adversity/test_known_failures.py`.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from decimal import Decimal
from random import Random

import pytest

from service.domain.instrument import UserType
from service.domain.order import OrderType
from service.domain.rejection import RejectCode, Rejected
from service.loops.answers import Withdrawn
from service.loops.cache_audit import CacheAudit
from service.loops.reconciliation import Reconciliation
from service.loops.requests import Author
from service.storage.cache import Cache
from tests.adversity.book import check_book, execute, fetch
from tests.adversity.clients import close, id_of
from tests.adversity.shard import (
    LOT,
    SYMBOL,
    Resting,
    Shard,
    open_small_book,
    opened,
    trading_shard,
)

LIVE, DEMO = 1, 2  # account ids, in the groups plain and gold
MANY = 1_001
# Recomputed from the open orders alone: the larger leg of each symbol.
MARGIN_DRIFT = """
SELECT account_id FROM accounts a LEFT JOIN (
    SELECT account_id, sum(larger) AS needed FROM (
        SELECT account_id, greatest(
            coalesce(sum(margin) FILTER (WHERE order_type LIKE 'BUY%'), 0),
            coalesce(sum(margin) FILTER (WHERE order_type LIKE 'SELL%'), 0)) AS larger
        FROM orders WHERE status = 'OPEN' GROUP BY account_id, symbol) legs
    GROUP BY account_id) n USING (account_id)
WHERE abs(a.margin - coalesce(n.needed, 0)) > 0.000000001
"""


@pytest.fixture
async def crowd(postgres_dsn: str) -> AsyncIterator[Shard]:
    """A shard of 1,001 accounts, each with one position of 100 lots."""
    resting = [Resting(1 + n, OrderType.BUY_LIMIT, 110_100, volume=100 * LOT) for n in range(MANY)]
    await open_small_book(postgres_dsn, MANY, resting)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        assert len(opened(shard)) == MANY
        yield shard


async def test_more_than_100_accounts_below_their_stop_out_level(crowd: Shard) -> None:
    """Accounts were read with a limit of 100: nobody above it was ever cut off."""
    crowd.quote(100_000)  # no equity is left to anybody
    await crowd.drained()
    assert opened(crowd) == []
    reasons = "SELECT reason, count(*) FROM deals WHERE event = 'CLOSE' GROUP BY reason"
    assert await fetch(crowd.database.dsn, reasons) == [("STOP_OUT", MANY)]
    await check_book(crowd.database.dsn, crowd)


async def test_more_than_100_accounts_to_be_swept(crowd: Shard) -> None:
    """The same limit of 100 left their stop losses to nobody."""
    await crowd.drained()
    await execute(
        crowd.database.dsn,
        "UPDATE orders SET stop_loss = 109000, stop_loss_trigger = "
        "109000 + CASE WHEN account_id % 2 = 0 THEN 3 ELSE 0 END",
    )
    for order in crowd.desk.orders.values():
        order.stop_loss = 109_000
        crowd.desk.set_triggers(order)  # known, and missing in the books
    crowd.quote(108_900)
    assert len(opened(crowd)) == MANY
    await crowd.sweeps.run_once()
    await crowd.drained()
    assert (opened(crowd), crowd.sweeps.missed) == ([], MANY)
    await check_book(crowd.database.dsn, crowd)


async def test_more_than_100_accounts_to_be_reconciled(crowd: Shard) -> None:
    """What only the first hundred were repaired of stayed wrong for the others."""
    await crowd.drained()
    for account_id in (LIVE, 101, 102, MANY - 1, MANY):
        crowd.desk.accounts[account_id].margin += 1
    reconciliation = Reconciliation(crowd.database, crowd.trading, crowd.instruments)
    assert await reconciliation.run_lap() == 5
    assert await reconciliation.run_lap() == 0
    await check_book(crowd.database.dsn, crowd)


async def test_more_than_100_accounts_in_the_cache(crowd: Shard, redis_url: str) -> None:
    """Audits are samples: in time they come to every account, whatever its place."""
    await crowd.drained()
    cache = Cache(redis_url, crowd.instruments)
    wrong = (101, MANY)
    ticket = await cache.open_fill(wrong)
    stored = await crowd.reader.live_orders(wrong)
    await cache.fill_static_orders(ticket, [(view, []) for view, _ in stored.values()])
    audit = CacheAudit(
        crowd.trading, cache, crowd.reader, lambda: True, crowd.instruments, Random(1)
    )
    found = 0
    for _ in range(100):  # by which each has come with all but certainty
        found += await audit.run_once()
    assert found == len(wrong)
    await cache.close()


async def test_margin_persisted_after_a_failed_close(shard: Shard) -> None:
    """A close that was given up had changed the margin, and the next order's commit stored that."""
    dsn = shard.database.dsn
    await shard.place(LIVE, stop_loss=109_500)
    await shard.place(LIVE)
    await execute(
        dsn, "ALTER TABLE orders ADD CONSTRAINT planted CHECK (order_id <> 1 OR status <> 'CLOSED')"
    )
    shard.quote(109_400)
    await shard.drained()
    assert opened(shard) == [1, 2]
    await shard.place(LIVE)
    assert await fetch(dsn, MARGIN_DRIFT) == []
    await check_book(dsn, shard)


async def test_margin_drifting_away_from_what_positions_need(shard: Shard) -> None:
    """It was kept by adding and taking off, across commits that failed or overtook one another."""
    dsn, chance = shard.database.dsn, random.Random(3)
    await execute(
        dsn,
        "ALTER TABLE orders ADD CONSTRAINT planted CHECK (order_id % 7 <> 0 OR status <> 'CLOSED')",
    )

    async def trade(account_id: int) -> None:
        for _ in range(40):
            side = chance.choice((OrderType.BUY, OrderType.SELL))
            with contextlib.suppress(Withdrawn, Rejected):
                order = await shard.place(account_id, side)
                shard.quote(110_000 + chance.randrange(-300, 300))
                if chance.random() < 0.6:
                    await close(shard, order)

    # Two of the same account at once, hedging each other.
    await asyncio.gather(*(trade(account_id) for account_id in (1, 1, 2, 2, 3, 4)))
    await shard.drained()
    assert shard.decisions("failed") > 0
    assert await fetch(dsn, MARGIN_DRIFT) == []
    await check_book(dsn, shard)


async def test_live_and_demo_accounts_of_one_id(shard: Shard) -> None:
    """Live 5 and demo 5 were two people: they shared cache entries, events and portfolios."""
    for account_id, user_type in ((LIVE, UserType.DEMO), (DEMO, UserType.LIVE)):
        with pytest.raises(Rejected) as refused:
            await shard.administration.create_account(
                account_id, user_type, "plain", Decimal(100), Decimal(0), Author("7")
            )
        assert refused.value.code is RejectCode.ACCOUNT_EXISTS
    order = await shard.place(LIVE)
    with pytest.raises(Rejected) as refused:
        await close(shard, order, DEMO)
    assert refused.value.code is RejectCode.ORDER_NOT_FOUND
    assert SYMBOL not in shard.desk.accounts[DEMO].exposures
    shown = await shard.reader.live_orders([LIVE, DEMO])
    assert {each: [o.order_id for o in found[1]] for each, found in shown.items()} == {
        LIVE: [id_of(order)],
        DEMO: [],
    }
