"""A crowd that rests on one price, and the tick on which all of it triggers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.domain.order import OrderType
from tests.adversity.shard import Resting, Shard, open_small_book, trading_shard

ACCOUNTS = 60
_PER_ACCOUNT = 5
# Orders 1 to 300, five for each account, all on one price.
CROWD = [
    Resting(1 + number // _PER_ACCOUNT, OrderType.BUY_LIMIT, 110_000)
    for number in range(ACCOUNTS * _PER_ACCOUNT)
]


@asynccontextmanager
async def crowded(dsn: str) -> AsyncIterator[Shard]:
    """Run a shard with the crowd resting just below the market."""
    await open_small_book(dsn, ACCOUNTS, CROWD)
    async with trading_shard(dsn) as shard:
        shard.quote(110_100)
        yield shard


def fire(shard: Shard) -> None:
    """Let the crowd trigger on one tick."""
    shard.quote(109_900)
