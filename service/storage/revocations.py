"""Revoked tokens as stored: a row each, with its entry in the audit, until they would have expired.

Rows are numbered in the order in which they become visible, so that whoever asks for those after
the last one he knows misses none. None is removed but with a newer one: who knows a newer one than
there is has to do with a database that was restored from a backup, and is told all from the start.
There are never more than `MAX_REVOCATIONS`.
"""

import msgspec

from service.domain.decision import Audit
from service.domain.times import format_time
from service.storage.audit import audit_statement
from service.storage.database import Database
from service.storage.transactions import whole

MAX_REVOCATIONS = 100_000
PAGE_AT_ONCE = 1_000

REVOCATIONS_AFTER = """
SELECT revocation_id, token_id, account_id, role, revoked_at, expires_at FROM revocations
WHERE revocation_id > CASE WHEN (SELECT max(revocation_id) FROM revocations) < $1 THEN 0 ELSE $1 END
ORDER BY revocation_id LIMIT $2
"""
REVOCATIONS_PAGE = """
SELECT revocation_id, token_id, account_id, role, revoked_at, expires_at FROM revocations
WHERE revocation_id < $1 ORDER BY revocation_id DESC LIMIT $2
"""
# One at a time: numbers are taken in the order of the commits.
_ALONE = "LOCK TABLE revocations IN SHARE ROW EXCLUSIVE MODE"
_MAKE_ROOM = """
DELETE FROM revocations
WHERE expires_at <= $1 OR token_id = $2 OR (account_id = $3 AND role = $4)
"""
_INSERT = """
INSERT INTO revocations (token_id, account_id, role, revoked_at, expires_at)
VALUES ($1, $2, $3, $4, $5) RETURNING revocation_id
"""


class TooManyRevocations(Exception):
    """No more tokens can be revoked one by one."""


class Revocation(msgspec.Struct, frozen=True):
    """A token by its id, or all of an account in a role that were issued up to `revoked_at`.

    `revoked_at` and `expires_at` are ns UTC.
    """

    revocation_id: int
    token_id: str | None
    account_id: int | None
    role: str | None
    revoked_at: int
    expires_at: int


class RevocationView(msgspec.Struct, frozen=True):
    """What is not believed any more: a token by its `jti`, or all that an account had by then.

    Forgotten at `expires_at`, when none of them would be valid any more.
    """

    revocation_id: int
    token_id: str | None
    account_id: int | None
    role: str | None
    revoked_at: str
    expires_at: str


def revocation_view(of: Revocation) -> RevocationView:
    """Show a revocation."""
    return RevocationView(
        of.revocation_id,
        of.token_id,
        of.account_id,
        of.role,
        format_time(of.revoked_at),
        format_time(of.expires_at),
    )


class RevocationStore:
    """Revocations in PostgreSQL; all raise `Unreachable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def after(self, revocation_id: int) -> list[Revocation]:
        """Return the next revocations after one, oldest first, at most `PAGE_AT_ONCE`.

        They begin anew where that one is newer than all there are.
        """
        async with self._database.read("revocations") as connection:
            rows = await connection.fetch(REVOCATIONS_AFTER, revocation_id, PAGE_AT_ONCE)
        return [Revocation(*row) for row in rows]

    async def page(self, limit: int, before: int | None) -> list[Revocation]:
        """Return revocations, newest first."""
        async with self._database.read("revocations") as connection:
            rows = await connection.fetch(
                REVOCATIONS_PAGE, 2**63 - 1 if before is None else before, limit
            )
        return [Revocation(*row) for row in rows]

    async def add(self, new: Revocation, audit: Audit) -> Revocation:
        """Store a revocation in place of one of the same, and its audit; return it numbered.

        Raises:
            TooManyRevocations: there is no room.
        """
        about = (new.token_id, new.account_id, new.role)
        connection = await self._database.connect()
        try:
            async with self._database.measured("revocations"), whole(connection):
                await connection.execute(_ALONE)
                await connection.execute(_MAKE_ROOM, new.revoked_at, *about)
                if await connection.fetchval("SELECT count(*) FROM revocations") >= MAX_REVOCATIONS:
                    raise TooManyRevocations
                number = await connection.fetchval(_INSERT, *about, new.revoked_at, new.expires_at)
                revoked = {
                    "token_id": new.token_id,
                    "account_id": new.account_id,
                    "role": new.role,
                    "expires_at": format_time(new.expires_at),
                }
                statement, arguments = audit_statement(audit, new.revoked_at, None, revoked)
                await connection.execute(statement, *arguments)
        finally:
            connection.terminate()
        return Revocation(number, *about, new.revoked_at, new.expires_at)
