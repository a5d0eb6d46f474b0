"""The writer: decisions queue up, what waits becomes one transaction.

It commits in decision order, up to `MAX_BATCH` decisions at a time, without waiting for more. A
lost connection is answered by sending the same batch again: it carries its id and its
predecessor's, so it applies once whatever became of the first try. While the database is away
decisions wait in order and `backlog` grows; the owner stops taking commands and judging ticks above
`QUEUE_LIMIT`.

A batch that the database refuses is bisected until the decision at fault stands alone: it is rolled
back and reported, the rest commits, and its account's later decisions are withdrawn before the
account is loaded anew (`Owner.failed`). When the lease has a newer epoch, `Fenced` ends the writer;
when a change of settings is refused, which memory has taken already, `Diverged` does.

One writer a shard; `put` and the callbacks belong to the event loop's thread.
"""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import asyncpg

from service.domain.decision import Decision
from service.domain.instrument import Symbol
from service.storage.batch import COMMIT_STATEMENT, COMMITTED, commit_arguments
from service.storage.database import Database
from service.storage.errors import Diverged, Fenced, is_transient
from service.storage.journeys import commit_span, follow_commit
from service.storage.lease import Lease
from service.storage.queue import Batch, Queued, WriterQueue, Written
from service.storage.settings_write import SettingsStatement, SettingsWrite
from telemetry.spans import AnySpan, Span

QUEUE_LIMIT = 100_000
COMMIT_TIMEOUT_S = 30.0
RETRY_FIRST_S = 0.05
RETRY_CAP_S = 1.0


class Owner(Protocol):
    """What the writer tells the one who decides."""

    def committed(self, written: Sequence[Written], seconds: float, trace: str | None) -> None:
        """Take a commit; `trace` is the id of its trace, if that is exported."""

    async def failed(self, decision: Decision, error: Exception) -> None:
        """Reload the account of a decision that failed alone.

        Called after everything decided before has been committed. It must call `Writer.withdraw`
        in the same step in which it takes the reloaded account into memory.
        """

    def database_away(self, error: Exception) -> None: ...

    def database_back(self) -> None: ...


class Writer:
    """Commits the decisions of one shard under its lease."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        symbols: Callable[[], dict[str, Symbol]],
        owner: Owner,
    ) -> None:
        self._database = database
        self._lease = lease
        self._owner = owner
        self._queue = WriterQueue(symbols)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._last_batch = lease.last_batch
        self._committing = 0
        self._fault: Exception | None = None
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self.is_connected = True

    @property
    def backlog(self) -> int:
        """Decisions that are not committed yet."""
        return len(self._queue) + self._committing

    def put(
        self, decisions: Sequence[Decision], received_ns: int, cause: Span | None = None
    ) -> None:
        """Queue decisions for commit, in order; `cause` is the span of what caused them."""
        self._queue.put(decisions, received_ns, cause)
        self._idle.clear()
        self._wake.set()

    def put_settings(self, statements: Sequence[SettingsStatement]) -> "asyncio.Future[None]":
        """Queue a change of settings behind what was decided before it."""
        write = SettingsWrite(statements, asyncio.get_running_loop().create_future())
        self._queue.put_settings(write)
        self._idle.clear()
        self._wake.set()
        return write.done

    def withdraw(self, account_id: int) -> list[Decision]:
        """Take an account's queued decisions back; none of them is being committed."""
        return self._queue.withdraw(account_id)

    def fail(self, error: Exception) -> None:
        """End with `error`: memory cannot be trusted any more, and what is queued is forgotten."""
        self._fault = error
        self._wake.set()

    async def drained(self) -> None:
        """Wait until everything queued is committed, and told."""
        await self._idle.wait()

    def _rest(self) -> None:
        if not self.backlog:
            self._idle.set()

    async def run(self) -> None:
        """Commit for ever.

        Raises:
            Fenced: the lease has a newer epoch; what is queued was never written.
            Diverged: a change of settings was refused; what is queued was never written.
            Exception: what `Owner.committed` raised.
        """
        try:
            while True:
                await self._wake.wait()
                while self._queue and self._fault is None:
                    await self._commit_next()
                if self._fault is not None:
                    raise self._fault
                self._wake.clear()
                # Behind the telling of what was committed last.
                asyncio.get_running_loop().call_soon(self._rest)
        finally:
            for write in self._queue.settings():
                write.fail(Fenced("the writer stopped before this was stored"))
            if self._connection is not None:
                self._connection.terminate()

    async def _commit_next(self) -> None:
        taken = self._queue.take()
        if isinstance(taken, SettingsWrite):
            self._committing = 1
            await self._write_settings(taken)
        else:
            self._committing = len(taken.queued)
            await self._commit(taken)
        self._committing = 0

    async def _commit(self, batch: Batch) -> None:
        """Commit a batch, bisecting it when the database refuses it."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        loop.call_soon(self._queue.encode_ahead)
        span = commit_span(self._database.tracing, batch.queued)
        try:
            with span:
                await self._send(batch)
        except asyncpg.PostgresError as error:
            if len(batch.queued) == 1:
                await self._owner.failed(batch.queued[0].decision, error)
                return
            await self._bisect(batch.queued)
            return
        # Told once the next batch is on its way.
        loop.call_soon(self._tell_committed, batch, loop.time() - started, span)

    def _tell_committed(self, batch: Batch, seconds: float, span: AnySpan) -> None:
        try:
            follow_commit(self._database.tracing, span, batch.queued)
            self._owner.committed(batch.written, seconds, span.trace)
        except Exception as error:
            self.fail(error)

    async def _bisect(self, queued: list[Queued]) -> None:
        """Commit the halves in order; put the second back first, so that it can be withdrawn."""
        middle = len(queued) // 2
        self._queue.give_back(queued[middle:])
        self._committing = middle
        await self._commit(self._queue.encode(queued[:middle]))

    async def _send(self, rows: Batch) -> None:
        batch = uuid.uuid4()
        arguments = commit_arguments(
            rows.rows,
            rows.queued[-1].decision,
            epoch=self._lease.epoch,
            previous_batch=self._last_batch,
            batch=batch,
            shard=self._lease.shard,
        )

        async def attempt(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
            with self._database.failing("commit"):
                outcome = await connection.fetchval(
                    COMMIT_STATEMENT, *arguments, timeout=COMMIT_TIMEOUT_S
                )
            if outcome != COMMITTED:
                await self._check_written(connection, batch)

        await self._until_it_answers(attempt)
        self._last_batch = batch

    async def _check_written(
        self, connection: "asyncpg.Connection[asyncpg.Record]", batch: uuid.UUID
    ) -> None:
        """Tell a batch whose reply was lost from one that a newer epoch has fenced off."""
        row = await connection.fetchrow(
            "SELECT epoch, last_batch FROM shard_leases WHERE shard = $1", self._lease.shard
        )
        if row is None or row["epoch"] != self._lease.epoch or row["last_batch"] != batch:
            raise Fenced(
                f"shard {self._lease.shard} has a newer owner than epoch {self._lease.epoch}, "
                "or the database was restored from a backup"
            )

    async def _write_settings(self, write: SettingsWrite) -> None:
        batch = uuid.uuid4()

        async def attempt(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
            async with self._database.measured("settings"):
                is_stored = await write.store(connection, self._lease, self._last_batch, batch)
            if not is_stored:
                await self._check_written(connection, batch)

        try:
            await self._until_it_answers(attempt)
        except asyncpg.PostgresError as error:
            refused = Diverged(f"the database refused a change of settings: {error}")
            write.fail(refused)
            raise refused from error
        except BaseException:  # fenced, or cancelled: whoever waits must know
            write.fail(Fenced("the writer stopped before this was stored"))
            raise
        self._last_batch = batch
        if not write.done.done():
            write.done.set_result(None)

    async def _until_it_answers(
        self, attempt: "Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[None]]"
    ) -> None:
        """Run an attempt again on a new connection until the database is not to blame."""
        delay = RETRY_FIRST_S
        while True:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._database.connect()
                await attempt(self._connection)
            except Exception as error:
                if not is_transient(error):
                    raise
                if self.is_connected:
                    self.is_connected = False
                    self._owner.database_away(error)
                if self._connection is not None:
                    self._connection.terminate()
                    self._connection = None
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, RETRY_CAP_S)
            else:
                if not self.is_connected:
                    self.is_connected = True
                    self._owner.database_back()
                return
