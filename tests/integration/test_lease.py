"""Who trades: one process at a time, and what a former owner sends changes nothing."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest

from service.domain.order import OrderType
from service.health import lease_check
from service.loops.answers import Unavailable
from service.storage import lease as leases
from service.storage.lease import Vacancy, acquire, release, renew
from tests.adversity.book import check_book, execute, fetch, locked_out
from tests.adversity.shard import Resting, open_small_book, opened, trading_shard
from tests.faultproxy import FaultProxy
from tests.proxied import through
from tests.support import eventually

LIFE_S = 1.0
CROWD = [Resting(1 + number % 20, OrderType.BUY_LIMIT, 110_000) for number in range(100)]


@pytest.fixture
async def dsn(postgres_dsn: str) -> str:
    """A database whose book has a crowd just below the market."""
    await open_small_book(postgres_dsn, 20, CROWD)
    return postgres_dsn


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


# The lease itself


async def test_a_lease_is_held_by_one(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    first = await acquire(connection, 0, "one", 60)
    assert first is not None
    assert await acquire(connection, 0, "other", 60) is None
    assert await renew(connection, first, 60)


async def test_an_expired_lease_is_taken_over_with_the_next_epoch(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    first = await acquire(connection, 0, "one", 0)
    second = await acquire(connection, 0, "other", 60)
    assert first is not None
    assert second is not None
    assert second.epoch == first.epoch + 1
    assert second.vacancy is Vacancy.EXPIRED
    assert not await renew(connection, first, 60)


async def test_a_former_owner_cannot_release_the_lease_of_the_next(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    first = await acquire(connection, 0, "one", 0)
    assert first is not None
    assert await acquire(connection, 0, "other", 60) is not None
    await release(connection, first)
    assert await acquire(connection, 0, "third", 60) is None


async def test_a_renewal_that_is_late_does_not_take_a_release_back(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    first = await acquire(connection, 0, "one", 60)
    assert first is not None
    await release(connection, first)
    assert not await renew(connection, first, 60)
    other = await acquire(connection, 0, "other", 60)
    assert other is not None
    assert other.vacancy is Vacancy.RELEASED


async def test_the_same_holder_takes_its_lease_again_and_fences_its_former_self(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    first = await acquire(connection, 0, "one", 60)
    again = await acquire(connection, 0, "one", 60)
    assert first is not None
    assert again is not None
    assert again.epoch == first.epoch + 1
    assert not await renew(connection, first, 60)


# Two shards on one database


async def test_only_one_of_two_trades(dsn: str) -> None:
    async with (
        trading_shard(dsn, holder="one") as one,
        trading_shard(dsn, holder="other", lead=False) as other,
    ):
        await asyncio.sleep(0.5)
        assert one.trading.is_leading
        assert not other.trading.is_leading
        for shard in (one, other):
            shard.quote(109_900)
        await one.drained()
        with pytest.raises(Unavailable, match="standby"):
            await other.fund(1, "1.00")
        assert one.decisions("committed") == 100
        assert other.decisions("committed") == 0
        await check_book(dsn, one)


async def test_a_graceful_stop_hands_over_at_once(dsn: str) -> None:
    async with (
        trading_shard(dsn, holder="one", lease_life_s=3_600) as one,
        trading_shard(dsn, holder="other", lease_life_s=1, lead=False) as other,
    ):
        one.quote(109_900)
        await one.leadership.stop()
        assert one.decisions("committed") == 100
        await eventually(lambda: other.trading.is_leading)
        await check_book(dsn, other)
        assert other.desk.markets["EURUSD"].bid == 109_900


async def test_one_that_is_stopped_while_it_loads_lets_the_next_in(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = asyncio.Event()

    async def load_for_ever(*_: object, **__: object) -> None:
        loading.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("service.loops.term.load_book", load_for_ever)
    async with trading_shard(dsn, lease_life_s=60, lead=False) as one:
        await loading.wait()
        await one.leadership.stop()
        assert one.leadership.is_aside
        assert await fetch(dsn, "SELECT holder, expires_at <= now() FROM shard_leases") == [
            ("", True)
        ]


async def test_a_stopped_owner_does_not_renew(dsn: str) -> None:
    async with trading_shard(dsn, lease_life_s=0.3) as one:
        await one.leadership.stop()
        [(released,)] = await fetch(dsn, "SELECT expires_at FROM shard_leases")
        await asyncio.sleep(0.5)
        assert await fetch(dsn, "SELECT expires_at FROM shard_leases") == [(released,)]


async def test_a_fenced_owner_writes_nothing_tells_its_callers_and_stands_by(dsn: str) -> None:
    async with trading_shard(dsn, holder="one", lease_life_s=3) as one:
        one.quote(110_100)
        await execute(
            dsn,
            "UPDATE shard_leases SET epoch = epoch + 1, holder = 'thief', "
            "expires_at = now() + interval '1 hour'",
        )
        one.quote(109_900)
        with pytest.raises(Unavailable):
            await one.fund(1, "1.00", key="k")
        await eventually(lambda: not one.trading.is_leading)
        assert await fetch(dsn, "SELECT count(*) FROM deals") == [(0,)]
        assert await fetch(dsn, "SELECT count(*) FROM commands") == [(0,)]
        assert one.decisions("committed") == 0
        assert one.decisions("fenced") > 0
        await execute(dsn, "UPDATE shard_leases SET expires_at = now()")
        one.quote(109_900)
        # The standby takes the lease again, with what is stored, and judges anew.
        async with asyncio.timeout(30):
            await one.leadership.gained()
        one.quote(109_900)
        await one.drained()
        assert opened(one) == list(range(1, 101))
        await check_book(dsn, one)


async def test_an_owner_behind_a_silent_network_is_replaced_and_notices(
    dsn: str, postgres_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells it that its connections are dead: only its own time-outs do."""
    monkeypatch.setattr(leases, "TIMEOUT_S", 0.5)
    async with trading_shard(
        through(postgres_proxy, dsn), holder="one", lease_life_s=LIFE_S
    ) as one:
        one.quote(110_100)
        postgres_proxy.pause()
        one.quote(109_900)
        async with trading_shard(dsn, holder="other", lease_life_s=LIFE_S) as other:
            other.quote(109_900)
            await other.drained()
            assert opened(other) == list(range(1, 101))
            # What was on its way when the network fell silent never arrives.
            await postgres_proxy.cut()
            postgres_proxy.resume()
            await postgres_proxy.restore()
            await eventually(lambda: not one.trading.is_leading)
            await check_book(dsn, other)


async def test_a_lease_that_cannot_be_renewed_is_not_believed_in(dsn: str) -> None:
    """The database's row is locked: neither renewals nor commits come through."""
    async with trading_shard(dsn, holder="one", lease_life_s=3 * LIFE_S) as one:
        one.quote(110_100)
        check = lease_check(one.trading)
        assert await check() == (True, "held")
        holder = await asyncpg.connect(dsn)
        try:
            async with holder.transaction():
                await holder.execute("SELECT FROM shard_leases FOR UPDATE")
                await eventually(lambda: not one.trading.has_lease)
                assert await check() == (False, "could not be renewed in time")
                with pytest.raises(Unavailable, match="could not be renewed"):
                    await one.fund(1, "1.00", key="k")
                # Prices are judged, nothing of it is stored, and nothing has been missed.
                one.quote(109_900)
                assert one.trading.backlog == len(CROWD)
                assert await one.sweeps.pending.run_once() == 0
                assert one.trading.is_leading
            # Nobody has taken it meanwhile: it is renewed, and what waited is committed.
            await eventually(lambda: one.trading.is_writing)
        finally:
            await holder.close()
        await one.fund(1, "1.00", key="k")
        await one.drained()
        assert opened(one) == list(range(1, 101))
        await check_book(dsn, one)


# Two processes


TRADER = """
import asyncio, sys
from tests.adversity.shard import trading_shard

async def main(dsn, holder):
    async with trading_shard(dsn, holder=holder, lease_life_s=1.0, lead=False) as shard:
        while True:
            if shard.desk.markets:
                shard.quote(109_900)
            state = "leads" if shard.trading.is_leading else "stands by"
            print(state, int(shard.decisions("committed")), flush=True)
            await asyncio.sleep(0.05)

asyncio.run(main(*sys.argv[1:]))
"""


class Trader:
    """A trading process whose last words are known."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.said = line.decode().strip()

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._listening


async def start_trader(dsn: str, holder: str) -> Trader:
    return Trader(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            TRADER,
            dsn,
            holder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    )


async def test_a_process_that_sleeps_past_its_lease_is_replaced_and_writes_nothing(
    dsn: str,
) -> None:
    lower = "UPDATE orders SET price = price - 10000, trigger_price = trigger_price - 10000"
    await execute(dsn, lower)  # none fires yet
    one = await start_trader(dsn, "one")
    other = one
    try:
        await eventually(lambda: one.said == "leads 0")
        other = await start_trader(dsn, "other")
        await eventually(lambda: other.said == "stands by 0")
        one.process.send_signal(signal.SIGSTOP)
        await eventually(lambda: other.said == "leads 0")
        assert one.said == "leads 0"
        one.process.send_signal(signal.SIGCONT)
        await eventually(lambda: one.said == "stands by 0")
        assert other.said == "leads 0"
        assert await fetch(dsn, "SELECT count(*) FROM deals") == [(0,)]
        [(epoch, holder)] = await fetch(dsn, "SELECT epoch, holder FROM shard_leases")
        assert (epoch, holder) == (2, "other")
        # And back again, when that one is killed.
        await other.end()
        await eventually(lambda: one.said == "leads 0")
    finally:
        await one.end()
        await other.end()
    await check_book(dsn)


async def test_what_a_sleeping_process_had_decided_is_not_written_when_it_wakes(dsn: str) -> None:
    """Two owners' decisions on the same orders: only the present owner's are stored."""
    async with trading_shard(dsn, holder="one", lease_life_s=60) as one:
        one.quote(110_100)
        holder = await asyncpg.connect(dsn)
        async with holder.transaction():
            await holder.execute("SELECT FROM shard_leases FOR UPDATE")
            one.quote(109_900)  # its commit waits for the lease's row
            await locked_out(dsn)
            await holder.execute(
                "UPDATE shard_leases SET epoch = epoch + 1, holder = 'other', "
                "expires_at = now() + interval '1 hour'"
            )
        await holder.close()
        await eventually(lambda: not one.trading.is_leading)
        assert await fetch(dsn, "SELECT count(*) FROM deals") == [(0,)]
        async with trading_shard(dsn, holder="other", lease_life_s=60) as other:
            other.quote(109_800)
            await other.drained()
            prices = await fetch(dsn, "SELECT DISTINCT group_buy FROM deals ORDER BY 1")
            assert prices == [(109_810,), (109_814,)]
            await check_book(dsn, other)
