"""What a shard is taken over with, its book as committed and the newest prices; and its end."""

import asyncio

from loguru import logger

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.quote import QuoteGuard
from service.domain.shard import AccountShard
from service.storage.database import COMMAND_TIMEOUT_S, Database
from service.storage.errors import Unreachable, failure_of
from service.storage.lease import Lease
from service.storage.loader import load_engine, load_quotes

PAGE_TIMEOUT_S = 5.0
ACCOUNTS_AT_ONCE = 500


async def load_book(
    database: Database, lease: Lease, shard: AccountShard, guard: QuoteGuard, *, is_replay: bool
) -> Engine:
    """Load the book of a shard, to go on where its lease says that writing stood.

    A replay primes prices from its file, and numbers its ticks by it. A link that stands still is
    given up after `PAGE_TIMEOUT_S`; a server that is slow has `COMMAND_TIMEOUT_S` for each page
    when it is asked again.

    Raises:
        Unreachable: the database is away, or gave no page in time.
    """
    engine = Engine(Desk(shard), guard)
    try:
        await _load(database, lease, engine, PAGE_TIMEOUT_S, is_replay=is_replay)
    except Unreachable as error:
        await forget_book(engine.desk)
        if failure_of(error) != "timeout":
            raise
        logger.warning("the database gave no page of the book for {:g} s: again", PAGE_TIMEOUT_S)
        engine = Engine(Desk(shard), guard)
        await _load(database, lease, engine, COMMAND_TIMEOUT_S, is_replay=is_replay)
    return engine


async def _load(
    database: Database, lease: Lease, engine: Engine, page_timeout_s: float, *, is_replay: bool
) -> None:
    desk = engine.desk
    loading = await database.connect(page_timeout_s)
    try:
        # A book takes as long as it is large.
        async with database.measured("load", limit=None):
            await load_engine(loading, engine)
            if not is_replay:
                await load_quotes(loading, desk)
                desk.tick = lease.last_tick
    finally:
        loading.terminate()
    desk.next_decision_id = desk.shard.first_id(lease.last_decision)


def keep_newer_prices(followed: Desk, desk: Desk) -> None:
    """Take the prices that were followed as a standby, where they are newer than the stored.

    They have judged nothing: like the stored ones they only price positions until a tick comes.
    """
    for name, seen in followed.markets.items():
        market = desk.markets.get(name)
        if market is not None and seen.time > market.time:
            market.bid, market.ask, market.time = seen.bid, seen.ask, seen.time


async def forget_book(desk: Desk) -> None:
    """Let go of a book on which nobody trades any more, in slices, so that other ticks go on.

    The garbage collector was told to pass over what was loaded, and so would never free what is
    held by a cycle: an account and its positions.
    """
    while desk.accounts:
        for _ in range(min(ACCOUNTS_AT_ONCE, len(desk.accounts))):
            _, account = desk.accounts.popitem()
            account.exposures.clear()
            account.watches.clear()
        await asyncio.sleep(0)
    for held in (desk.orders, desk.watches, desk.changed):
        while held:
            for _ in range(min(ACCOUNTS_AT_ONCE, len(held))):
                held.popitem()
            await asyncio.sleep(0)
