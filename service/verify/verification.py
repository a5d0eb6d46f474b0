"""The check of a database, all of one moment: a repeatable read that changes nothing.

It may run beside a service that trades: what is committed must hold at every moment. Sums and
joins are the database's work; the domain computes margins and triggers anew, a page of accounts at
a time. Limit: rows that such a long read still sees are not vacuumed away before it ends.
"""

import time
from typing import NamedTuple

import asyncpg

from service.storage.connection import Connection
from service.storage.database import connect
from service.verify import dealt, money, named
from service.verify.fault import Fault, NoBook, Rule
from service.verify.revaluation import find_revalued

MAX_TOLD = 100
STATEMENT_TIMEOUT_S = 3_600.0
_COUNTED = ("accounts", "orders", "deals", "ledger", "outbox")


class Report(NamedTuple):
    """What was found, and in how much: rows by table.

    Attributes:
        more: rules that more breaks than the `MAX_TOLD` faults told of each of their statements.
    """

    faults: list[Fault]
    more: list[Rule]
    rows: dict[str, int]
    seconds: float

    @property
    def is_clean(self) -> bool:
        return not self.faults

    def lines(self) -> list[str]:
        """Tell it in words, one fault a line."""
        counts = ", ".join(f"{count:,} of {table}" for table, count in self.rows.items())
        more = [f"{rule}: and more, of which the first {MAX_TOLD} are told" for rule in self.more]
        said = f"faults: {len(self.faults)}" if self.faults else "nothing is wrong"
        return [*map(str, self.faults), *more, f"{said}; checked {counts} in {self.seconds:.1f} s"]

    def as_json(self) -> dict[str, object]:
        """Return it as plain values."""
        faults = [fault._asdict() for fault in self.faults]
        return {"is_clean": self.is_clean, **self._asdict(), "faults": faults}


async def verify(dsn: str) -> Report:
    """Check a database.

    Raises:
        Unreachable: it cannot be connected to.
        NoBook: it has not the tables of this version.
    """
    connection = await connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await check(connection)
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise NoBook(
            f"this is no database of this version of Tapewatch ({error}): name another, or bring "
            "its schema up to date by starting the service on it"
        ) from error
    finally:
        await connection.close(timeout=5)


async def check(connection: Connection) -> Report:
    """Check what a transaction sees."""
    started = time.monotonic()
    faults: list[Fault] = []
    more: list[Rule] = []
    for rule, statement in (*money.RULES, *dealt.RULES, *named.RULES):
        rows = await connection.fetch(
            f"SELECT * FROM ({statement}) AS fault LIMIT {MAX_TOLD + 1}",
            timeout=STATEMENT_TIMEOUT_S,
        )
        faults += [Fault(rule, *row) for row in rows[:MAX_TOLD]]
        more += [rule] * (len(rows) > MAX_TOLD)
    revalued = 0
    async for fault in find_revalued(connection, STATEMENT_TIMEOUT_S):
        revalued += 1
        if revalued > MAX_TOLD:
            more.append(fault.rule)
            break
        faults.append(fault)
    counted = {
        table: await connection.fetchval(
            f"SELECT count(*) FROM {table}", timeout=STATEMENT_TIMEOUT_S
        )
        for table in _COUNTED
    }
    return Report(faults, more, counted, time.monotonic() - started)
