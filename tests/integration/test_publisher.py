"""The publisher against a real Valkey and PostgreSQL: who listens to Redis misses no event."""

import asyncio
import contextlib
import copy
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest
import redis.asyncio

from service.domain.decision import AccountState, Decision, EventKind
from service.domain.money import ZERO
from service.instruments import Instruments
from service.loops import publisher as publishing
from service.loops.publisher import Publisher
from service.storage.cache import Cache
from service.storage.cache_keys import events_channel
from service.storage.database import Database, apply_migrations
from service.storage.embedded import EmbeddedValkey
from service.storage.errors import Unreachable
from service.storage.outbox import Outbox
from service.storage.queue import Written
from telemetry import catalogue
from tests.support import eventually, free_port
from tests.truth import Truth

CANCELLATIONS = 400
BACKED_UP = ("outbox", "event_relay", "shard_leases")
ACCOUNTS = 5


class Ledger:
    """Commits events to a real outbox, and hands them over as the writer's owner does."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection
        self._truths = [Truth(account_id) for account_id in range(1, ACCOUNTS + 1)]
        self.event_id = 0
        self._backup = (0, self._truths)

    async def commit(self, count: int) -> list[Written]:
        """Commit events of all accounts in turn; ids have gaps, as failed decisions leave them."""
        written = []
        for number in range(count):
            self.event_id += 1 + number % 3
            truth = self._truths[number % ACCOUNTS]
            payload = truth.fund("1.00").decode()
            state = AccountState(truth.account_id, truth.sequence, truth.balance, ZERO)
            decision = Decision(
                self.event_id, 0, 0, EventKind.DEPOSITED, state, None, None, None, (), None
            )
            written.append(Written(decision, 0, payload))
        await self._connection.executemany(
            "INSERT INTO outbox VALUES ($1, $2, $3, $4)",
            [
                (each.decision.decision_id, *each.decision.account[:2], each.payload)
                for each in written
            ],
        )
        await self._connection.execute("UPDATE shard_leases SET last_decision = $1", self.event_id)
        return written

    async def back_up(self) -> None:
        self._backup = self.event_id, copy.deepcopy(self._truths)
        for table in BACKED_UP:
            await self._connection.execute(f"CREATE TABLE backup_{table} AS TABLE {table}")

    async def restore(self) -> None:
        self.event_id, self._truths = self._backup
        for table in BACKED_UP:
            await self._connection.execute(
                f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM backup_{table}"
            )

    async def marked(self) -> int:
        return int(await self._connection.fetchval("SELECT published_until FROM event_relay"))

    @property
    def sequences(self) -> dict[int, list[int]]:
        """What each account's listener must have heard, by sequence."""
        return {each.account_id: list(range(1, each.sequence + 1)) for each in self._truths}


class Consumer:
    """Somebody else who only listens to Redis; it connects anew whenever it must."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.heard: dict[int, list[int]] = defaultdict(list)
        self.is_listening = False

    async def run(self) -> None:
        while True:
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError, OSError):
                await self._listen()
            self.is_listening = False
            await asyncio.sleep(0.05)

    async def _listen(self) -> None:
        async with redis.asyncio.Redis.from_url(self._url).pubsub() as subscription:
            await subscription.ssubscribe(*map(events_channel, range(1, ACCOUNTS + 1)))
            async for message in subscription.listen():
                if message["type"] == "ssubscribe":
                    self.is_listening = message["data"] == ACCOUNTS
                elif message["type"] == "smessage":
                    event = msgspec.json.decode(message["data"])
                    self.heard[event["account_id"]].append(event["sequence"])

    @property
    def sequences(self) -> dict[int, list[int]]:
        """What was heard without what was heard before: what a consumer that counts takes."""
        taken: dict[int, list[int]] = {}
        for account_id, heard in self.heard.items():
            new = taken[account_id] = []
            for sequence in heard:
                if not new or sequence > new[-1]:
                    new.append(sequence)
        return taken


@pytest.fixture
async def database(postgres_dsn: str, instruments: Instruments) -> AsyncIterator[Database]:
    await apply_migrations(postgres_dsn)
    database = Database(postgres_dsn, instruments)
    yield database
    await database.close()


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    connection = await asyncpg.connect(database.dsn)
    yield Ledger(connection)
    await connection.close()


@contextlib.asynccontextmanager
async def relaying(
    redis_url: str, database: Database, instruments: Instruments
) -> AsyncIterator[Publisher]:
    """Run a publisher of a process that has just begun to trade; leave it as a crash does."""
    cache = Cache(redis_url, instruments)
    publisher = Publisher(cache, Outbox(database), instruments)
    publisher.lead()
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        task.cancel()
        await asyncio.wait((task,))
        await cache.close()
    if not task.cancelled():
        task.result()


@contextlib.asynccontextmanager
async def listening(redis_url: str) -> AsyncIterator[Consumer]:
    consumer = Consumer(redis_url)
    task = asyncio.create_task(consumer.run())
    try:
        await eventually(lambda: consumer.is_listening)
        yield consumer
    finally:
        task.cancel()
        await asyncio.wait((task,))


def relayed(instruments: Instruments) -> dict[str, float]:
    family = instruments.metrics.counter(catalogue.EVENTS_RELAYED)
    return {source: family.child(source).value for source in ("commit", "outbox")}


async def test_events_come_from_memory_while_all_is_well(
    redis_url: str, database: Database, ledger: Ledger, instruments: Instruments
) -> None:
    async with (
        listening(redis_url) as consumer,
        relaying(redis_url, database, instruments) as publisher,
    ):
        await eventually(lambda: publisher.is_idle)
        for _ in range(20):
            publisher.publish(await ledger.commit(50))
        await eventually(lambda: consumer.sequences == ledger.sequences)
        assert consumer.heard == ledger.sequences  # once each
        assert relayed(instruments) == {"commit": 1_000, "outbox": 0}


async def test_what_another_owner_left_behind_is_published_first(
    redis_url: str, database: Database, ledger: Ledger, instruments: Instruments
) -> None:
    await ledger.commit(500)
    async with (
        listening(redis_url) as consumer,
        relaying(redis_url, database, instruments) as publisher,
    ):
        publisher.publish(await ledger.commit(50))
        await eventually(lambda: consumer.sequences == ledger.sequences)
        assert all(sorted(heard) == heard for heard in consumer.heard.values())


async def test_a_restart_publishes_what_the_process_had_not(
    redis_url: str, database: Database, ledger: Ledger, instruments: Instruments
) -> None:
    async with listening(redis_url) as consumer:
        async with relaying(redis_url, database, instruments) as publisher:
            publisher.publish(await ledger.commit(100))
            await eventually(lambda: consumer.sequences == ledger.sequences)
            await ledger.commit(100)  # committed, and the process is killed
        async with relaying(redis_url, database, instruments):
            await eventually(lambda: consumer.sequences == ledger.sequences)


async def test_how_far_it_got_is_stored_soon_so_that_little_is_repeated(
    redis_url: str,
    database: Database,
    ledger: Ledger,
    instruments: Instruments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "MARK_INTERVAL_S", 0.05)
    async with relaying(redis_url, database, instruments) as publisher:
        publisher.publish(await ledger.commit(100))
        async with asyncio.timeout(30):
            while await ledger.marked() != ledger.event_id:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    again = Instruments()
    async with relaying(redis_url, database, again) as publisher:
        await eventually(lambda: publisher.is_idle)
    assert relayed(again) == {"commit": 0, "outbox": 0}


async def test_events_are_published_whose_ids_a_restored_database_gives_again(
    redis_url: str,
    database: Database,
    ledger: Ledger,
    instruments: Instruments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "MARK_INTERVAL_S", 0.05)
    async with relaying(redis_url, database, instruments) as publisher:
        publisher.publish(await ledger.commit(100))
        await ledger.back_up()
        publisher.publish(await ledger.commit(100))
        await eventually(lambda: publisher.is_idle)
        late = ledger.event_id
        await ledger.restore()
        await Outbox(database).mark_published(late)
        async with listening(redis_url) as consumer:
            publisher.lead()
            publisher.publish(await ledger.commit(50))
            expected = {each: told[-10:] for each, told in ledger.sequences.items()}
            await eventually(
                lambda: {each: told[-10:] for each, told in consumer.heard.items()} == expected
            )
        async with asyncio.timeout(30):
            while await ledger.marked() != ledger.event_id:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert ledger.event_id < late


async def test_an_owner_that_is_late_takes_nothing_back(database: Database, ledger: Ledger) -> None:
    await ledger.commit(100)
    outbox = Outbox(database)
    await outbox.mark_published(70)
    await outbox.mark_published(50)
    assert await outbox.published_until() == await ledger.marked() == 70


async def test_what_does_not_fit_in_memory_comes_from_the_outbox(
    redis_url: str,
    database: Database,
    ledger: Ledger,
    instruments: Instruments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "QUEUE_LIMIT", 120)
    monkeypatch.setattr(publishing, "MAX_PUBLISH", 40)
    async with (
        listening(redis_url) as consumer,
        relaying(redis_url, database, instruments) as publisher,
    ):
        for _ in range(10):
            publisher.publish(await ledger.commit(100))
        await eventually(lambda: consumer.sequences == ledger.sequences)
        assert consumer.heard == ledger.sequences
        await eventually(lambda: publisher.is_idle)
        publisher.publish(await ledger.commit(50))
        await eventually(lambda: consumer.sequences == ledger.sequences)
        assert relayed(instruments)["outbox"] > 0


async def test_a_redis_outage_loses_no_event_to_whoever_was_connected(
    tmp_path: Path, database: Database, ledger: Ledger, instruments: Instruments
) -> None:
    async with EmbeddedValkey(tmp_path / "valkey", free_port()) as valkey:
        async with (
            listening(valkey.url) as consumer,
            relaying(valkey.url, database, instruments) as publisher,
        ):
            for _ in range(2):
                publisher.publish(await ledger.commit(200))
                await eventually(lambda: consumer.sequences == ledger.sequences)
                await valkey.stop()
                for _ in range(5):
                    publisher.publish(await ledger.commit(1_000))
                    await asyncio.sleep(0.02)
                assert not publisher.is_idle
                await valkey.start()
                publisher.publish(await ledger.commit(10))
                await eventually(lambda: consumer.sequences == ledger.sequences)
                await eventually(lambda: publisher.is_idle)
        assert relayed(instruments)["outbox"] >= 10_000


async def test_a_restart_in_an_outage_loses_nothing_either(
    tmp_path: Path, database: Database, ledger: Ledger, instruments: Instruments
) -> None:
    async with (
        EmbeddedValkey(tmp_path / "valkey", free_port()) as valkey,
        listening(valkey.url) as consumer,
    ):
        async with relaying(valkey.url, database, instruments) as publisher:
            publisher.publish(await ledger.commit(100))
            await eventually(lambda: consumer.sequences == ledger.sequences)
            await valkey.stop()
            publisher.publish(await ledger.commit(100))
        async with relaying(valkey.url, database, instruments):
            await valkey.start()  # without a memory of its own
            await eventually(lambda: consumer.sequences == ledger.sequences)


async def test_a_database_that_is_away_is_asked_again(
    redis_url: str,
    database: Database,
    ledger: Ledger,
    instruments: Instruments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "RETRY_S", 0.01)
    await ledger.commit(100)
    failures = iter(range(3))
    page_after = Outbox.page_after

    async def failing(self: Outbox, event_id: int, limit: int) -> object:
        if next(failures, None) is not None:
            raise Unreachable("connection refused")
        return await page_after(self, event_id, limit)

    monkeypatch.setattr(Outbox, "page_after", failing)
    async with (
        listening(redis_url) as consumer,
        relaying(redis_url, database, instruments),
    ):
        await eventually(lambda: consumer.sequences == ledger.sequences)


async def test_what_a_publisher_failed_at_is_published_when_it_is_started_again(
    redis_url: str,
    database: Database,
    ledger: Ledger,
    instruments: Instruments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(self: Cache, *_: object) -> set[int]:
        raise RuntimeError("planted")

    cache = Cache(redis_url, instruments)
    publisher = Publisher(cache, Outbox(database), instruments)
    before = cache.generations.of(1)
    async with listening(redis_url) as consumer:
        publisher.publish(await ledger.commit(10))
        with monkeypatch.context() as patched:
            patched.setattr(Cache, "apply_events", fail)
            with pytest.raises(RuntimeError, match="planted"):
                await publisher.run()
        assert cache.generations.of(1) != before, "what is cached has missed events"
        task = asyncio.create_task(publisher.run())
        await eventually(lambda: consumer.sequences == ledger.sequences)
        task.cancel()
        await asyncio.wait((task,))
    await cache.close()


def written(truth: Truth) -> list[Written]:
    state = AccountState(truth.account_id, 0, truth.balance, ZERO)
    return [
        Written(
            Decision(number, 0, 0, EventKind.PLACED, state, None, None, None, (), None),
            0,
            truth.place(number).decode(),
        )
        for number in range(1, 201)
    ]


async def test_a_publisher_that_is_cancelled_ends_wherever_it_is(
    redis_url: str, database: Database, instruments: Instruments
) -> None:
    cache = Cache(redis_url, instruments)
    chance = random.Random(1)
    events = [*written(Truth(1)), *written(Truth(2))]
    try:
        for number in range(CANCELLATIONS):
            publisher = Publisher(cache, Outbox(database), instruments)
            task = asyncio.create_task(publisher.run())
            if number % 2:
                publisher.lead()
            publisher.publish(events)
            await asyncio.sleep(chance.uniform(0, 0.02))
            task.cancel()
            async with asyncio.timeout(30):
                await asyncio.wait((task,))
            assert task.cancelled()
    finally:
        await cache.close()
