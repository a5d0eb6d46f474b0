"""Idempotency keys: whatever happens in between, a key decides at most one command."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.domain.order import OrderType
from service.domain.rejection import Rejected
from service.loops.answers import Unavailable
from tests.adversity.book import check_book, fetch
from tests.adversity.interrupted_replay import COMMITTED_REPLY, EVENT
from tests.adversity.shard import Shard, open_small_book, trading_shard
from tests.faultproxy import FaultProxy, Moment
from tests.proxied import in_front_of, through
from tests.support import eventually

PLACED = "SELECT count(*) FROM orders"


@pytest.fixture
async def proxy(postgres_dsn: str) -> AsyncIterator[FaultProxy]:
    await open_small_book(postgres_dsn, 4)
    async with in_front_of(postgres_dsn) as proxy:
        yield proxy


@pytest.fixture
async def shard(postgres_dsn: str, proxy: FaultProxy) -> AsyncIterator[Shard]:
    async with trading_shard(through(proxy, postgres_dsn)) as shard:
        shard.quote(110_000)
        yield shard


async def test_repeats_at_once_decide_once(shard: Shard, postgres_dsn: str) -> None:
    answers = await asyncio.gather(
        *(shard.place(1, OrderType.BUY_LIMIT, 109_000, key="k") for _ in range(50))
    )
    assert all(answer == answers[0] for answer in answers)
    assert await fetch(postgres_dsn, PLACED) == [(1,)]
    await check_book(postgres_dsn, shard)


async def test_a_repeat_returns_the_first_answer_whatever_it_asks(
    shard: Shard, postgres_dsn: str
) -> None:
    first = await shard.place(1, OrderType.BUY_LIMIT, 109_000, key="k")
    shard.quote(108_000)
    await shard.drained()
    assert await shard.place(1, OrderType.BUY_LIMIT, 109_000, key="k") == first
    assert await shard.place(1, OrderType.SELL_LIMIT, 120_000, key="k") == first
    assert await fetch(postgres_dsn, PLACED) == [(1,)]


async def test_a_key_belongs_to_its_account(shard: Shard, postgres_dsn: str) -> None:
    await shard.place(1, OrderType.BUY_LIMIT, 109_000, key="k")
    await shard.place(2, OrderType.BUY_LIMIT, 109_000, key="k")
    assert await fetch(postgres_dsn, PLACED) == [(2,)]


async def test_a_repeat_after_a_restart_returns_the_first_answer(
    shard: Shard, postgres_dsn: str
) -> None:
    first = await shard.place(1, OrderType.BUY_LIMIT, 109_000, key="k")
    async with trading_shard(postgres_dsn) as again:
        again.quote(110_000)
        assert await again.place(1, OrderType.BUY_LIMIT, 109_000, key="k") == first
        assert await fetch(postgres_dsn, PLACED) == [(1,)]


async def test_a_refused_command_frees_its_key(shard: Shard, postgres_dsn: str) -> None:
    told = await asyncio.gather(
        *(shard.place(1, OrderType.BUY_LIMIT, 111_000, key="k") for _ in range(5)),
        return_exceptions=True,
    )
    assert all(isinstance(one, Rejected) for one in told)
    await shard.place(1, OrderType.BUY_LIMIT, 109_000, key="k")
    assert await fetch(postgres_dsn, PLACED) == [(1,)]


async def test_who_gives_up_does_not_undo_the_command(
    shard: Shard, proxy: FaultProxy, postgres_dsn: str
) -> None:
    """The first caller hangs up while the commit is on its way; a repeat waits for the same."""
    trap = proxy.arm(EVENT, Moment.BEFORE_FORWARD)
    first = asyncio.create_task(shard.place(1, OrderType.BUY_LIMIT, 109_000, key="k"))
    await trap.sprung()
    first.cancel()
    again = asyncio.create_task(shard.place(1, OrderType.BUY_LIMIT, 109_000, key="k"))
    await asyncio.sleep(0.05)
    trap.release()
    assert (await again).order is not None
    assert await fetch(postgres_dsn, PLACED) == [(1,)]
    await check_book(postgres_dsn, shard)


@pytest.mark.parametrize("moment", Moment)
async def test_a_key_in_flight_outlives_the_database(
    moment: Moment, shard: Shard, proxy: FaultProxy, postgres_dsn: str
) -> None:
    trap = proxy.arm(EVENT, moment, reply=COMMITTED_REPLY)
    placing = asyncio.create_task(shard.place(1, OrderType.BUY_LIMIT, 109_000, key="k"))
    await trap.sprung()
    await proxy.cut()
    await eventually(lambda: not shard.trading.is_writing)
    again = asyncio.create_task(shard.place(1, OrderType.BUY_LIMIT, 109_000, key="k"))
    with pytest.raises(Unavailable):
        await shard.place(1, OrderType.BUY_LIMIT, 109_000, key="other")
    await proxy.restore()
    assert await placing == await again
    assert await fetch(postgres_dsn, PLACED) == [(1,)]
    await check_book(postgres_dsn, shard)


async def test_a_key_whose_answer_was_never_heard_is_answered_by_the_next_process(
    postgres_dsn: str, proxy: FaultProxy
) -> None:
    async with trading_shard(through(proxy, postgres_dsn)) as shard:
        shard.quote(110_000)
        trap = proxy.arm(EVENT, Moment.BEFORE_REPLY, reply=COMMITTED_REPLY)
        placing = asyncio.create_task(shard.place(1, OrderType.BUY_LIMIT, 109_000, key="k"))
        await trap.sprung()
    with pytest.raises(Unavailable):
        await placing
    trap.cut()
    async with trading_shard(postgres_dsn) as again:
        again.quote(110_000)
        answer = await again.place(1, OrderType.BUY_LIMIT, 109_000, key="k")
        assert answer.order is not None
        assert answer.order.order_id == 1
        assert await fetch(postgres_dsn, PLACED) == [(1,)]
        await check_book(postgres_dsn, again)
