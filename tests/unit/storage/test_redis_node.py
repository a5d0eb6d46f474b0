"""What redis-py does with a cancellation, and what becomes of it."""

import asyncio

import pytest

from service.storage.redis_node import uncancelled


@pytest.mark.parametrize("error", [None, ConnectionError("lost")])
async def test_a_cancellation_that_was_forgotten_inside_is_not_lost(
    error: Exception | None,
) -> None:
    went_on = False

    async def forgets() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if error is not None:
                raise error from None

    async def lives_on() -> None:
        nonlocal went_on
        try:
            async with uncancelled():
                await forgets()
        except ConnectionError:
            pass
        went_on = True

    task = asyncio.create_task(lives_on())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert not went_on


async def test_what_fails_by_itself_fails() -> None:
    with pytest.raises(ConnectionError):
        async with uncancelled():
            raise ConnectionError("lost")


async def test_a_time_limit_around_it_holds() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), uncancelled():
            await asyncio.Event().wait()
