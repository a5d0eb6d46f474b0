"""Processes that share the shards: who trades what as they come, go and die; none by two."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from service.domain.desk import Desk
from service.domain.order import OrderStatus, OrderType
from service.domain.swap import owe_swaps
from service.loops.answers import Unavailable
from service.loops.loop_status import LoopState
from telemetry import catalogue
from tests.adversity.book import check_book, execute, fetch
from tests.adversity.hosts import SHARDS, Host, are_shared, led, process, shares, traded_by_two
from tests.adversity.shard import SYMBOL, Resting, open_small_book
from tests.support import eventually

ACCOUNTS = 12
RESTING = [Resting(1 + number % ACCOUNTS, OrderType.BUY_LIMIT, 109_000) for number in range(24)]


@pytest.fixture
async def dsn(postgres_dsn: str) -> str:
    await open_small_book(postgres_dsn, ACCOUNTS, RESTING)
    return postgres_dsn


def expiring(host: Host) -> list[int]:
    """Return the shards of which a process looks for what has expired."""
    loops = {each.name: each.state for each in host.supervisor.statuses()}
    states = [loops[f"expiry/{number}"] for number in range(SHARDS)]
    return [number for number, state in enumerate(states) if state is not LoopState.RESTING]


async def test_one_process_trades_all_and_shares_with_those_that_come(
    dsn: str, redis_url: str
) -> None:
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(process(dsn, redis_url, "one"))]
        await eventually(lambda: len(hosts[0].led) == SHARDS)
        looking = asyncio.create_task(traded_by_two(hosts))
        for holder in ("two", "three"):
            hosts.append(await stack.enter_async_context(process(dsn, redis_url, holder)))
            await eventually(lambda: are_shared(*hosts))
        assert shares(*hosts) == [2, 2, 2]
        assert hosts[0].host.front.leads(0), "what need not move stays"
        # What is not wanted here costs nothing: no connection, no run, no book, no quote.
        await eventually(lambda: [host.connections for host in hosts] == [2, 2, 2])
        await eventually(lambda: all(expiring(host) == host.led for host in hosts))
        for host in hosts:
            for shard in host.host.shards:
                assert bool(shard.trading.desk.accounts) == shard.trading.is_leading
            host.quote(110_000)
        # Each account's commands are taken by one, and its orders triggered once.
        for account_id in range(1, ACCOUNTS + 1):
            [owner] = [host for host in hosts if host.host.front.leads(account_id % SHARDS)]
            await owner.fund(account_id)
            for other in hosts:
                if other is not owner:
                    with pytest.raises(Unavailable, match="standby"):
                        await other.fund(account_id)
        for host in hosts:
            host.quote(108_900)
        await eventually(lambda: not any(host.host.front.backlog for host in hosts))
        assert not looking.done()
        looking.cancel()
        for host in hosts:
            await host.host.stop()
        metrics = hosts[2].instruments.metrics
        text = "".join(metrics.render())
        assert 'tapewatch_loop_consecutive_errors{loop="leadership"} 0' in text
        assert "tapewatch_quotes_total 2.0" in text
        assert "tapewatch_quotes_refused_total" in text
    assert await fetch(dsn, "SELECT count(*) FROM orders WHERE status = 'PENDING'") == [(0,)]
    assert await fetch(dsn, "SELECT count(*) FROM deals") == [(len(RESTING),)]
    await check_book(dsn)


async def test_the_shards_of_one_that_dies_are_traded_by_the_others(
    dsn: str, redis_url: str
) -> None:
    async with process(dsn, redis_url, "one") as one, process(dsn, redis_url, "two") as two:
        async with process(dsn, redis_url, "three") as three:
            await eventually(lambda: are_shared(one, two, three))
            kept = led(one, two)
        await eventually(lambda: are_shared(one, two))
        assert all(set(before) <= set(now) for before, now in zip(kept, led(one, two), strict=True))
        # And when another comes in its place, it has its share again.
        async with process(dsn, redis_url, "four") as four:
            await eventually(lambda: are_shared(one, two, four))
    await check_book(dsn)


async def test_one_that_stops_lets_the_others_in_at_once(dsn: str, redis_url: str) -> None:
    life_s = 300.0  # so that nothing is free by itself
    async with (
        process(dsn, redis_url, "one", lease_s=life_s) as one,
        process(dsn, redis_url, "two", lease_s=life_s) as two,
    ):
        await eventually(lambda: are_shared(one, two))
        for host in (one, two):
            host.quote(110_000)
        one.quote(108_900)
        two.quote(111_000)
        await one.host.stop()
        assert one.led == []
        await eventually(lambda: len(two.led) == SHARDS)
        # What it takes is priced by what it has seen itself, where that is newer.
        bids = {shard.trading.desk.markets[SYMBOL].bid for shard in two.host.shards}
        assert bids == {111_000}
        await asyncio.sleep(1)
        assert len(two.led) == SHARDS, "it takes nothing back"
        assert one.led == []
    await check_book(dsn)


async def test_one_that_hears_no_ticks_lets_those_trade_who_do(dsn: str, redis_url: str) -> None:
    async with process(dsn, redis_url, "one") as one, process(dsn, redis_url, "two") as two:
        await eventually(lambda: are_shared(one, two))
        one.is_fit = False
        await eventually(lambda: len(two.led) == SHARDS)
        assert one.led == []
        one.is_fit = True
        await eventually(lambda: are_shared(one, two))
    await check_book(dsn)


async def test_one_that_trades_nothing_is_a_warm_standby(dsn: str, redis_url: str) -> None:
    async with process(dsn, redis_url, "one", shards=1) as one:
        await eventually(lambda: one.led == [0])
        async with process(dsn, redis_url, "two", shards=1) as two:
            await eventually(lambda: bool(two.host.front.symbols()))
            two.quote(111_000)
            assert two.host.front.desk.markets[SYMBOL].bid == 111_000
            await one.host.stop()
            await eventually(lambda: two.led == [0])
            assert two.host.front.desk.markets[SYMBOL].bid == 111_000
            assert two.host.front.desk.accounts
            refused = two.instruments.metrics.counter(catalogue.QUOTES_REFUSED)
            assert not any(number.now for number in refused.children.values())


async def test_a_shard_that_cannot_be_traded_takes_no_other_down(dsn: str, redis_url: str) -> None:
    # An account of a group that is gone: its shard cannot be loaded.
    await execute(
        dsn,
        "ALTER TABLE accounts DROP CONSTRAINT accounts_group_name_fkey",
        "UPDATE accounts SET group_name = 'gone' WHERE account_id = 3",
    )
    sick = 3 % SHARDS
    async with process(dsn, redis_url, "one") as one:
        await eventually(lambda: len(one.led) == SHARDS - 1)
        async with process(dsn, redis_url, "two") as two:
            await eventually(lambda: shares(one, two)[0] >= 2)
            healthy = [number for number in range(SHARDS) if number != sick]
            await eventually(lambda: sorted(one.led + two.led) == healthy)
            statuses = {each.name: each for each in one.supervisor.statuses()}
            statuses |= {
                each.name: each for each in two.supervisor.statuses() if each.consecutive_errors
            }
            assert statuses[f"leadership/{sick}"].is_ill
            assert not any(statuses[f"leadership/{number}"].is_ill for number in healthy)
            await execute(dsn, "UPDATE accounts SET group_name = 'plain' WHERE account_id = 3")
            await eventually(lambda: are_shared(one, two))


async def test_a_quote_that_one_shard_fails_at_reaches_the_others(
    dsn: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 0

    def fail_at_first(desk: Desk, now: int) -> None:
        nonlocal failures
        if desk.shard.number == 0 and not failures:
            failures += 1
            raise ValueError("sick")
        owe_swaps(desk, now)

    async with process(dsn, redis_url, "one") as one:
        await eventually(lambda: len(one.led) == SHARDS)
        one.quote(110_000)
        monkeypatch.setattr("service.loops.ticks.owe_swaps", fail_at_first)
        for shard in one.host.shards:
            shard.trading._next_look = shard.trading._next_rollover = 0
        one.quote(108_900)
        assert failures == 1
        assert one.led == list(range(1, SHARDS))
        for number in one.led:
            orders = one.host.shards[number].trading.desk.orders.values()
            assert {order.status for order in orders} == {OrderStatus.OPEN}
        await eventually(lambda: len(one.led) == SHARDS)
        one.quote(108_900)
        await eventually(lambda: not one.host.front.backlog)
    assert await fetch(dsn, "SELECT count(*) FROM orders WHERE status = 'PENDING'") == [(0,)]
    await check_book(dsn)


async def test_where_each_is_everything_one_trades_all(dsn: str, redis_url: str) -> None:
    async with process(dsn, redis_url, "one", shares=False) as one:
        await eventually(lambda: len(one.led) == SHARDS)
        async with process(dsn, redis_url, "two", shares=False) as two:
            await eventually(lambda: bool(two.host.front.symbols()))
            assert two.led == []
            # Who loses the first shard gives all of them up.
            await execute(
                dsn,
                "UPDATE shard_leases SET epoch = epoch + 1, holder = 'two', "
                "expires_at = now() + interval '1 minute' WHERE shard = 0",
            )
            await eventually(lambda: len(two.led) == SHARDS)
            assert one.led == []
            await two.host.stop()
            await eventually(lambda: len(one.led) == SHARDS)
    await check_book(dsn)
