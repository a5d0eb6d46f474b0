"""Backup and restore as `deploy/BACKUP.md` has it, under load, with PostgreSQL's own programs."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest

from service.domain.money import format_money
from service.domain.order import OrderType
from service.loops.answers import Unavailable
from service.storage.embedded import EmbeddedPostgres
from service.storage.server_binaries import POSTGRES, UNPRIVILEGED_UID, programs, run_as
from service.storage.views import EventView
from service.verify.verification import verify
from tests.adversity.book import execute, fetch
from tests.adversity.shard import Shard, open_small_book, trading_shard
from tests.integration.test_dealing_desk import close
from tests.proxied import in_front_of, through
from tests.support import eventually

pytestmark = pytest.mark.timeout(300)
ACCOUNTS = 20
LAST_EVENT = "SELECT max(event_id) FROM outbox"
UNUSED = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{}'"


class Load:
    """Trades without a pause on all accounts; `answered` are the keys that were answered."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self.answered: list[tuple[int, str]] = []
        self.is_over = False

    async def trade(self, account_id: int) -> None:
        for number in count():
            if self.is_over:  # a connection that is lost may take a cancellation with it
                return
            key = f"{account_id}-{number}"
            self._shard.quote(110_000 + number % 50)
            # A machine that is busy may lose its lease for a moment.
            with contextlib.suppress(Unavailable):
                order = await self._shard.place(account_id, key=key)
                self.answered.append((account_id, key))
                if number % 3:
                    await close(self._shard, order)
                continue
            await asyncio.sleep(0.1)

    async def until(self, more: int) -> None:
        """Wait until so many more commands are answered."""
        goal = len(self.answered) + more
        async with asyncio.timeout(120):
            while len(self.answered) < goal:  # noqa: ASYNC110 - the load has no event
                await asyncio.sleep(0.01)


@asynccontextmanager
async def loaded(dsn: str) -> AsyncIterator[Load]:
    async with trading_shard(dsn, lease_life_s=5.0) as shard:
        shard.quote(110_000)
        load = Load(shard)
        tasks = [asyncio.create_task(load.trade(number + 1)) for number in range(ACCOUNTS)]
        try:
            await load.until(50)
            yield load
        finally:
            load.is_over = True
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def program(name: str, folder: Path) -> str:
    return str(programs(POSTGRES, run_as(folder)) / "pginstall" / "bin" / name)


async def run(name: str, *arguments: str, folder: Path) -> None:
    """Run one of PostgreSQL's programs to its end."""
    process = await asyncio.create_subprocess_exec(program(name, folder), *arguments)
    assert await process.wait() == 0, name


async def trades_on(dsn: str) -> None:
    """Let the service take a restored database over, and trade."""
    assert (await verify(dsn)).faults == []
    [(before, sequence)] = await fetch(
        dsn, "SELECT epoch, (SELECT sequence FROM accounts WHERE account_id = 1) FROM shard_leases"
    )
    [(last,)] = await fetch(dsn, LAST_EVENT)
    async with trading_shard(dsn, holder="restored") as shard:
        shard.quote(110_000)
        event = await shard.place(1, OrderType.SELL)
        assert event.sequence == sequence + 1, "events go on where those restored end"
    assert await fetch(dsn, "SELECT epoch FROM shard_leases") == [(before + 1,)]
    assert await fetch(dsn, f"SELECT count(*) FROM outbox WHERE event_id > {last}") == [(1,)]
    assert (await verify(dsn)).faults == []


async def test_a_dump_made_under_load_is_restored_and_traded_on(tmp_path: Path) -> None:
    """What was committed before the dump began is in it, and nothing by halves."""
    dump = str(tmp_path / "tapewatch.dump")
    async with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        await open_small_book(server.dsn, ACCOUNTS)
        async with loaded(server.dsn) as load:
            [(before,)] = await fetch(server.dsn, LAST_EVENT)
            await run("pg_dump", "--format=custom", "--file", dump, server.dsn, folder=tmp_path)
            [(after,)] = await fetch(server.dsn, LAST_EVENT)
            await load.until(20)
    async with EmbeddedPostgres(tmp_path / "restored", durable=False) as server:
        await run(
            *("pg_restore", "--exit-on-error", "--no-owner", "--dbname", server.dsn, dump),
            folder=tmp_path,
        )
        [(restored,)] = await fetch(server.dsn, LAST_EVENT)
        assert before <= restored <= after
        await trades_on(server.dsn)


@asynccontextmanager
async def receiving(server: EmbeddedPostgres, wal: Path) -> AsyncIterator[None]:
    """Receive what the server writes as it writes it, and let commits wait for that."""
    wal.mkdir()
    slot = ("--slot=tapewatch", "--dbname", server.dsn)
    await run("pg_receivewal", "--create-slot", "--if-not-exists", *slot, folder=wal)
    process = await asyncio.create_subprocess_exec(
        program("pg_receivewal", wal), "--synchronous", "--no-loop", "--directory", str(wal), *slot
    )
    try:
        async with asyncio.timeout(30):
            while not await fetch(server.dsn, "SELECT FROM pg_stat_replication"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await execute(
            server.dsn,
            "ALTER SYSTEM SET synchronous_standby_names = 'pg_receivewal'",
            "SELECT pg_reload_conf()",
        )
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def restore(backup: Path, wal: Path, server: EmbeddedPostgres, former: Path) -> None:
    """Lay the files of a base backup, and what was received since, where a server has its own."""
    folder = server.process.data_dir
    folder.mkdir()
    shutil.copy(former / "password", folder / "password")
    backup.rename(folder / "data")
    for segment in wal.iterdir():
        shutil.copy(segment, folder / "data" / "pg_wal" / segment.name.removesuffix(".partial"))
    (folder / "data" / "postgresql.auto.conf").write_text("")
    if os.geteuid() == 0:
        for path in (folder / "data", *(folder / "data").rglob("*")):
            os.chown(path, UNPRIVILEGED_UID, UNPRIVILEGED_UID)


async def test_nothing_that_was_answered_is_lost_with_the_server(tmp_path: Path) -> None:
    """A base backup under load, and what is received since: the server and its disk may burn."""
    backup, wal = tmp_path / "base", tmp_path / "wal"
    server = EmbeddedPostgres(tmp_path / "postgres")
    async with server:
        await open_small_book(server.dsn, ACCOUNTS)
        async with receiving(server, wal), loaded(server.dsn) as load:
            await run(
                *("pg_basebackup", "--checkpoint=fast", "-D", str(backup), "-d", server.dsn),
                folder=tmp_path,
            )
            await run("pg_verifybackup", "--quiet", str(backup), folder=tmp_path)
            await load.until(200)
            os.kill(server.process.pid, signal.SIGKILL)
    restored = EmbeddedPostgres(tmp_path / "restored")
    restore(backup, wal, restored, server.process.data_dir)
    async with restored:
        stored = {
            tuple(row) for row in await fetch(restored.dsn, "SELECT account_id, key FROM commands")
        }
        assert set(load.answered) <= stored
        await trades_on(restored.dsn)


async def test_an_engine_that_was_not_restarted_starts_over_from_what_is_restored(
    postgres_dsn: str,
) -> None:
    """Its memory is ahead of the database: nothing of it is written, whoever has the lease."""
    await open_small_book(postgres_dsn, 2)
    server, _, name = postgres_dsn.rpartition("/")
    beside = f"{server}/postgres"
    async with in_front_of(postgres_dsn) as proxy:
        async with trading_shard(through(proxy, postgres_dsn)) as shard:
            for _ in range(2):
                kept = await shard.fund(1, "10.00")
            await proxy.cut()
            await execute(
                beside,
                UNUSED.format(name),
                f"CREATE DATABASE {name}_backup TEMPLATE {name}",
            )
            await proxy.restore()
            await eventually(lambda: shard.trading.is_writing)
            lost = await funded(shard, "500.00")
            assert lost.sequence == kept.sequence + 1
            await proxy.cut()
            await execute(
                beside,
                f"DROP DATABASE {name} WITH (FORCE)",
                f"ALTER DATABASE {name}_backup RENAME TO {name}",
            )
            await proxy.restore()
            again = await funded(shard, "1.00")
        assert again.sequence == kept.sequence + 1
        assert again.balance == format_money(Decimal(kept.balance) + 1)
    assert await fetch(postgres_dsn, "SELECT epoch FROM shard_leases") == [(2,)]
    assert (await verify(postgres_dsn)).faults == []


async def funded(shard: Shard, amount: str) -> EventView:
    """Fund account 1 as soon as that can be done; what is refused has changed nothing."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await shard.fund(1, amount, key=amount)
            except Unavailable:
                await asyncio.sleep(0.05)
