"""What the role that serves may do with each table: what it needs to trade, and no more.

The owner of the schema grants it, after each migration. That role makes and drops nothing, never
changes ledger, events, answers or audit, of a deal only which one corrects it, and removes none of
them but by the functions of retention, which hold a least age.
"""

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

_SETTINGS = "SELECT, INSERT, UPDATE"
_ADDED_TO = "SELECT, INSERT"
# Leases and relay are laid out anew when the number of shards changes.
_SHARDS = "SELECT, INSERT, UPDATE, DELETE"
RIGHTS = {
    "symbols": _SETTINGS,
    "groups": _SETTINGS,
    "group_symbols": _SETTINGS,
    "quotes": _SETTINGS,
    "accounts": "SELECT, INSERT, UPDATE (sequence, balance, margin, in_margin_call)",
    "orders": "SELECT, INSERT, UPDATE",
    "deals": "SELECT, INSERT, UPDATE (corrected_by)",
    "ledger": _ADDED_TO,
    "outbox": _ADDED_TO,
    "commands": _ADDED_TO,
    "audit": _ADDED_TO,
    "revocations": "SELECT, INSERT, DELETE",
    "shard_leases": _SHARDS,
    "event_relay": _SHARDS,
    "engines": _SHARDS,
    "feed_lease": "SELECT, UPDATE",
    "retention_marks": "SELECT",
    "pruned": "SELECT",
    "_pogo_migration": "SELECT",
}
WITHOUT_RIGHTS = ("replays", "_pogo_version")
_FUNCTIONS = "make_retention_mark, prune, refuse_batch"
_ROLE = """
SELECT quote_ident(rolname), rolsuper OR EXISTS (
    SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND pg_has_role(pg_roles.oid, relowner, 'USAGE'))
FROM pg_roles WHERE rolname = $1
"""


class CannotGrant(Exception):
    """The role cannot be given its rights; the message says what to do."""


async def grant(connection: "Connection", role: str) -> None:
    """Let a role serve, and take from it whatever else it may do with the schema's tables.

    Raises:
        CannotGrant: there is no such role, it may do everything already, or this one may not grant.
    """
    found = await connection.fetchrow(_ROLE, role)
    if found is None:
        raise CannotGrant(f"there is no role {role}: make it with CREATE ROLE … LOGIN PASSWORD …")
    name, may_do_everything = found
    if may_do_everything:
        raise CannotGrant(
            f"{role} is a superuser or owns tables, so no right can be kept from it: serve as "
            "another role"
        )
    try:
        async with connection.transaction():
            await connection.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}")
            await connection.execute(f"GRANT USAGE ON SCHEMA public TO {name}")
            for table, rights in RIGHTS.items():
                await connection.execute(f"GRANT {rights} ON {table} TO {name}")
            await connection.execute(f"GRANT EXECUTE ON FUNCTION {_FUNCTIONS} TO {name}")
    except asyncpg.InsufficientPrivilegeError as error:
        raise CannotGrant(f"{error}: grant as the owner of the tables") from error
