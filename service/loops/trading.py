"""Trading: the shell around the engine of one shard.

It feeds the engine quotes and commands, queues its decisions to the writer and answers once they
are committed. Without the lease (`Leadership`) it only follows prices and refuses commands.

Invariants: what was decided under a lost lease is never written (its epoch fences it) and never
answered as done; nothing here waits on the tick path.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence

from loguru import logger

from service.domain.commands import CommandDesk
from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.instrument import Symbol
from service.domain.rejection import Rejected
from service.instruments import Instruments
from service.loops.answers import Answer, Answers, Unavailable
from service.loops.counting import count_commit
from service.loops.desk_state import watch_desk
from service.loops.loop_status import describe_error
from service.loops.reloading import Reloading
from service.loops.settings_changes import SettingsChanges
from service.loops.ticks import Ticks
from service.storage.database import Database
from service.storage.errors import Unreachable
from service.storage.queue import Written
from service.storage.reader import Reader
from service.storage.settings_write import SettingsStatement
from service.storage.views import EventView
from service.storage.writer import QUEUE_LIMIT, Writer
from telemetry.spans import current_span


class Trading(Ticks):
    """One shard's engine with its writer and the commands that wait."""

    def __init__(
        self, database: Database, reader: Reader, instruments: Instruments, engine: Engine
    ) -> None:
        super().__init__(instruments, engine)
        self._reader = reader
        self._answers = Answers()
        self._retired: Writer | None = None
        self._trusted_until_s = math.inf
        self.written_hooks: list[Callable[[Sequence[Written]], None]] = []
        self.lead_hooks: list[Callable[[], None]] = []
        self.leading = asyncio.Event()  # set while it `is_leading`
        self.settings_hooks: list[Callable[[], None]] = []
        self.settings_changes = SettingsChanges()
        self._reloading = Reloading(database, instruments, self._answers, self.settings_changes)
        self.follow(engine)
        instruments.watch_writer_queue(lambda: self.backlog)
        instruments.watch_shard(engine.desk.shard.number, lambda: self.is_leading)
        watch_desk(instruments, lambda: self.desk)

    @property
    def instruments(self) -> Instruments:
        """What is measured of this shard."""
        return self._instruments

    @property
    def is_leading(self) -> bool:
        """Whether this process holds the lease and has loaded its engine."""
        return self._writer is not None

    @property
    def has_lease(self) -> bool:
        """Whether the lease of who trades was renewed in time; where not, another may have it."""
        return self._writer is not None and time.monotonic() < self._trusted_until_s

    def trust_lease(self, until_s: float) -> None:
        """Believe in the lease until the monotonic clock says so."""
        self._trusted_until_s = until_s

    @property
    def backlog(self) -> int:
        """Decisions that are not committed yet."""
        writer = self._writer or self._retired
        return 0 if writer is None else writer.backlog

    @property
    def is_writing(self) -> bool:
        """Whether the lease is its own, and the writer reaches its database and keeps up."""
        writer = self._writer
        if writer is None or not self.has_lease:
            return False
        return writer.is_connected and writer.backlog < QUEUE_LIMIT

    async def check_writer(self) -> tuple[bool, str]:
        """Tell whether decisions are being committed, and how many wait."""
        return self.is_writing, f"{self.backlog} decisions wait"

    def sequence(self, account_id: int) -> int | None:
        """Return the sequence of what was last decided for an account, None: unknown here."""
        account = self.desk.accounts.get(account_id)
        return None if account is None else account.sequence

    def symbols(self) -> dict[str, Symbol]:
        """Return the symbols by name, for reading; a feed asks with every message."""
        return self.engine.desk.symbols

    # Leading and following

    def lead(self, engine: Engine, writer: Writer) -> None:
        """Trade on a loaded engine."""
        self.follow(engine)
        self._writer = writer
        self.leading.set()
        for hook in (*self.lead_hooks, *self.settings_hooks):
            hook()

    def follow(self, engine: Engine) -> None:
        """Follow prices on an engine without judging them."""
        super().follow(engine)
        self._commands = CommandDesk(engine.desk, engine.guard)

    def retire(self) -> None:
        """Decide nothing more; what was decided is still committed, and its callers told."""
        self._retired, self._writer = self._writer or self._retired, None
        self.leading.clear()

    def step_down(self) -> None:
        """Stop trading: what is decided and not committed is forgotten, and its callers told."""
        self._instruments.decisions_fenced(self.backlog)
        self._retired = self._writer = None
        self.leading.clear()
        self._answers.refuse_all(Unavailable("trading stopped before the commit was seen"))

    async def drained(self) -> None:
        """Wait until what is decided is committed."""
        writer = self._writer or self._retired
        if writer is not None:
            await writer.drained()

    # What else than quotes decides

    def start_over(self, error: Exception) -> None:
        """Stop trading on a memory that may hold what no decision tells; it is loaded anew."""
        logger.opt(exception=error).error("the engine failed: starting over from what is stored")
        writer = self._writer
        self.step_down()
        if writer is not None:
            writer.fail(error)

    def decide(self, decide: Callable[[Engine], Sequence[Decision]]) -> Sequence[Decision]:
        """Let something else than a quote decide; nothing does while nothing can be written."""
        writer = self._writer
        if writer is None or writer.backlog >= QUEUE_LIMIT:
            return ()
        decisions = decide(self.engine)
        if decisions:
            writer.put(decisions, 0, current_span())
        return decisions

    # Commands

    async def command(
        self, account_id: int, key: str | None, decide: Callable[[CommandDesk, int], Decision]
    ) -> EventView:
        """Decide a command at once and answer when it is committed.

        A key that was used before returns the first answer and decides nothing.

        Raises:
            Rejected: the engine refused it; nothing changed.
            Unavailable: standby, database away or queue full; or the commit takes too long, then
                the same key gives the answer later.
            Withdrawn: it was decided but could not be stored; nothing changed.
        """
        if key is None:
            return await self._answers.wait(self._decide(account_id, decide, None))
        return await self._answers.once(
            (account_id, key),
            lambda: self._stored_answer(account_id, key),
            lambda: self._decide(account_id, decide, key),
        )

    async def _stored_answer(self, account_id: int, key: str) -> bytes | None:
        self._require_writer()
        try:
            return await self._reader.answer(account_id, key)
        except Unreachable as error:
            raise Unavailable("the database is away: try again") from error

    def _decide(
        self,
        account_id: int,
        decide: Callable[[CommandDesk, int], Decision],
        key: str | None,
    ) -> Answer:
        writer = self._require_writer()
        now = time.time_ns()
        self.mark_rollover(now)
        try:
            decision = decide(self._commands, now)
        except Rejected:
            raise
        except Exception as error:
            account = self.desk.accounts.get(account_id)
            if account is not None:
                self.desk.fault(account, None, error)  # half changed, maybe, but nobody else is
            raise
        answer = self._answers.expect(decision.decision_id)
        writer.put([decision._replace(key=key)], 0, current_span())
        return answer

    def _require_writer(self) -> Writer:
        if self._writer is None:
            raise Unavailable("this process is a standby: ask the one that trades", 5)
        if not self.has_lease:
            raise Unavailable("the lease could not be renewed: try again")
        if not self.is_writing:
            raise Unavailable("the database is away: try again")
        return self._writer

    async def change_settings(self, apply: Callable[[Desk], Sequence[SettingsStatement]]) -> None:
        """Change settings as `queue_settings` does, and wait until they are stored.

        Raises:
            Rejected: by `apply`.
            Unavailable: standby, or the database is away.
            Withdrawn: the database refused it; trading starts over from what is stored.
        """
        await self.settings_changes.wait(self.queue_settings(apply))

    def queue_settings(
        self, apply: Callable[[Desk], Sequence[SettingsStatement]]
    ) -> "asyncio.Future[None]":
        """Change settings in memory at once, and in the database behind what was decided before.

        `apply` changes the desk and returns the statements that store it, or raises and changes
        nothing. What is returned is done when they are stored; nobody has to wait for it.

        Raises:
            Unavailable: standby, or the database is away.
        """
        writer = self._require_writer()
        stored = self.settings_changes.queue(writer, apply(self.desk))
        for hook in self.settings_hooks:
            hook()
        return stored

    # What the writer tells

    def committed(self, written: Sequence[Written], seconds: float, trace: str | None) -> None:
        """Answer, publish and count a committed batch; `trace`: as of `Owner.committed`."""
        now = time.perf_counter_ns()
        for each in written:
            self._answers.give(each.decision.decision_id, each.payload)
        for hook in self.written_hooks:
            hook(written)
        count_commit(self._instruments, written, now, seconds, trace)

    async def failed(self, decision: Decision, error: Exception) -> None:
        """Take the account of a decision that failed alone back to what is stored."""
        writer = self._writer or self._retired
        assert writer is not None
        await self._reloading.after_failure(self.engine, writer, decision, error)

    async def reload_account(self, account_id: int, failed_order_id: int | None = None) -> bool:
        """Take an account back to what is stored, at rest; False: it did not come to rest.

        An order that failed is judged by the next quote of its symbol, the others at once.
        """
        writer, reload = self._writer, self._reloading.at_rest
        if writer is None:
            return False
        return await reload(
            self.engine, writer, lambda: self._writer is writer, account_id, failed_order_id
        )

    def database_away(self, error: Exception) -> None:
        """Note that what is decided waits for the database."""
        logger.warning("the writer waits for the database: {}", describe_error(error))

    def database_back(self) -> None:
        """Note that it waits no longer."""
        logger.info("the database is back: {} decisions waited", self.backlog)
