"""The link to Redis where its connections fail in ways of their own."""

import pytest
from redis.asyncio.connection import AbstractConnection

from service.instruments import Instruments
from service.storage.cache import Cache


async def test_a_connection_that_was_closed_while_idle_is_a_failure_of_redis(
    cache: Cache, instruments: Instruments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop raises RuntimeError, where asyncio would say that the connection is lost."""
    assert await cache.static_orders([17]) == {}

    async def closed(*_: object, **__: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")

    with monkeypatch.context() as patch:
        patch.setattr(AbstractConnection, "send_packed_command", closed)
        assert await cache.static_orders([17]) == {}
        assert not await cache.ping()
