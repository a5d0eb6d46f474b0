"""What more than one of these modules needs."""

from collections.abc import AsyncIterator

import pytest

from tests.adversity.shard import Shard, open_small_book, trading_shard


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    """A shard of four accounts, once it is quoted."""
    await open_small_book(postgres_dsn, 4)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        yield shard
