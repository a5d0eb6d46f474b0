"""Revoked tokens in PostgreSQL: known to all processes, in order, and gone when they expired."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from service.domain.decision import Audit
from service.instruments import Instruments
from service.loops.requests import Author
from service.loops.revocations import Revocations
from service.storage import revocations
from service.storage.database import Database, apply_migrations
from service.storage.revocations import Revocation, RevocationStore, TooManyRevocations
from tests.adversity.book import execute, fetch

AUTHOR = Author("1", "a lost laptop")
AUDIT = Audit("1", "revoke", "token x", "why")


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[Database]:
    await apply_migrations(postgres_dsn)
    database = Database(postgres_dsn, Instruments())
    yield database
    await database.close()


async def test_every_process_learns_what_one_was_told(database: Database) -> None:
    one, two = (Revocations(RevocationStore(database), 60) for _ in range(2))
    for each in (one, two):
        await each.run_once()
    await one.revoke_token("lost", AUTHOR)
    revoked = await one.revoke_account(17, "trader", AUTHOR)
    await two.run_once()
    later = Revocations(RevocationStore(database), 60)
    await later.run_once()
    for process in (one, two, later):
        assert process.is_revoked("lost", (18,), "trader", time.time_ns())
        assert process.is_revoked(None, (18, 17), "trader", revoked.revoked_at)
        assert not process.is_revoked(None, (17,), "trader", revoked.revoked_at + 1)
        assert not process.is_revoked(None, (17,), "admin", 0)
        assert len(process) == 2
    again = await two.revoke_account(17, "trader", AUTHOR)
    await one.run_once()
    assert one.is_revoked(None, (17,), "trader", again.revoked_at)
    assert len(await one.page(10, None)) == 2, "in place of the one before"
    audit = await fetch(
        database.dsn, "SELECT actor, action, target, reason FROM audit ORDER BY audit_id"
    )
    assert audit == [
        ("1", "revoke", "token lost", "a lost laptop"),
        ("1", "revoke", "trader tokens of account 17", "a lost laptop"),
        ("1", "revoke", "trader tokens of account 17", "a lost laptop"),
    ]


async def test_none_is_missed_of_a_restored_database(database: Database) -> None:
    """It gives numbers again that some have seen, of other revocations."""
    one, two = (Revocations(RevocationStore(database), 60) for _ in range(2))
    for token in ("first", "second", "third"):
        await one.revoke_token(token, AUTHOR)
    await two.run_once()
    await execute(
        database.dsn,
        "DELETE FROM revocations WHERE revocation_id > 1",
        "ALTER TABLE revocations ALTER revocation_id RESTART WITH 2",
    )
    await two.run_once()
    await one.revoke_token("fourth", AUTHOR)
    await two.run_once()
    assert two.is_revoked("fourth", (1,), "trader", 0)
    assert two.is_revoked("third", (1,), "trader", 0), "what it knew it knows"


async def test_none_is_missed_however_many_revoke_at_once(database: Database) -> None:
    store = RevocationStore(database)
    watching = Revocations(store, 60)
    tokens = [f"token-{number}" for number in range(24)]

    async def watch() -> None:
        while True:
            await watching.run_once()

    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(watch())
        others = [Revocations(store, 60) for _ in range(6)]
        work = [
            tasks.create_task(others[number % 6].revoke_token(each, AUTHOR))
            for number, each in enumerate(tokens)
        ]
        await asyncio.wait(work)
        await watching.run_once()
        watcher.cancel()
    assert all(watching.is_revoked(each, (1,), "trader", 0) for each in tokens)


async def test_there_are_never_too_many_and_what_expired_makes_room(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "MAX_REVOCATIONS", 2)
    store, now = RevocationStore(database), time.time_ns()
    for name, expires_at in (("one", now + 1), ("two", now + 10**12)):
        await store.add(Revocation(0, name, None, None, now, expires_at), AUDIT)
    await store.add(Revocation(0, "three", None, None, now + 1, now + 10**12), AUDIT)
    with pytest.raises(TooManyRevocations):
        await store.add(Revocation(0, "four", None, None, now + 1, now + 10**12), AUDIT)
    assert [each.token_id for each in await store.page(10, None)] == ["three", "two"]
    assert len(await fetch(database.dsn, "SELECT FROM audit")) == 3
