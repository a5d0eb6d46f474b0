"""A fault of our own, after a commit, is not swallowed: trading stops and starts over."""

from collections.abc import Callable, Sequence

import pytest

from service.storage.queue import Written
from tests.adversity.book import check_book
from tests.adversity.shard import open_small_book, opened, trading_shard
from tests.support import eventually


async def _trade_until_it_fails(dsn: str, fail: Callable[[Sequence[Written]], None]) -> None:
    async with trading_shard(dsn) as shard:
        shard.quote(110_100)
        shard.trading.written_hooks.append(fail)
        await shard.place(1)
        await eventually(lambda: not shard.trading.is_leading)


async def test_a_fault_while_a_commit_is_told_stops_trading_and_loses_nothing(
    postgres_dsn: str,
) -> None:
    def fail(written: Sequence[Written]) -> None:
        raise RuntimeError("planted")

    await open_small_book(postgres_dsn, 1)
    with pytest.raises(RuntimeError, match="planted"):
        await _trade_until_it_fails(postgres_dsn, fail)
    async with trading_shard(postgres_dsn) as shard:
        assert opened(shard) == [1]
        await check_book(postgres_dsn, shard)
