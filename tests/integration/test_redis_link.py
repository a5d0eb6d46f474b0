"""The link to Redis where its connections fail in ways of their own."""

import pytest
from redis.asyncio.connection import AbstractConnection

from service.storage.cache import Cache


@pytest.mark.parametrize("when", ["send_packed_command", "connect"])
async def test_a_connection_that_was_closed_meanwhile_is_a_failure_of_redis(
    cache: Cache, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop raises RuntimeError, where asyncio would say that the connection is lost."""
    assert await cache.static_orders([17]) == {}

    async def closed(*_: object, **__: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")

    with monkeypatch.context() as patch:
        patch.setattr(AbstractConnection, when, closed)
        assert await cache.static_orders([17]) == {}
        assert not await cache.ping()
