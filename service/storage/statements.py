"""Connections whose statements are spans, where what they are part of is one.

A span has the statement's text, which holds no values: those are parameters, and are never told.
Limit: what is copied is no span of its own: that is how a book is opened, before anything trades.
"""

import re
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import asyncpg
from opentelemetry.trace import SpanKind

from service.storage.connection import Connection
from telemetry.limits import Limit
from telemetry.spans import NO_SPAN, AnySpan, current_span

MAX_TEXT = 1_000
_CHANGES = re.compile(r"\b(UPDATE|INSERT INTO|DELETE FROM)\s+(\w+)", re.IGNORECASE)
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+(\w+)", re.IGNORECASE)
MAX_SUMMARY = 100


# Generic to the type checker alone.
if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection


class TracedConnection(_Connection):
    """A connection that tells what it is asked."""

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        # What a pool cleans up behind everyone says nothing.
        with NO_SPAN if query == self.get_reset_query() else _statement(query):
            return await super().execute(query, *args, **options)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        with _statement(query):
            return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        with _statement(query):
            return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        with _statement(query):
            return await super().fetchval(query, *args, **options)


async def fetch_pages(
    connection: Connection, query: str, size: int
) -> AsyncIterator[list[asyncpg.Record]]:
    """Yield the rows of a query in pages, each a span; call it within a transaction."""
    with _statement(query):
        cursor = await connection.cursor(query)
    while True:
        with _statement(query):
            rows = await cursor.fetch(size)
        if not rows:
            return
        yield rows


def _statement(query: str) -> AnySpan:
    around = current_span()
    if around is None:
        return NO_SPAN
    summary = summarise(query)
    span = around.child(summary, SpanKind.CLIENT, Limit.QUERY)
    span.note("db.system.name", "postgresql")
    span.note("db.query.summary", summary)
    span.note("db.query.text", " ".join(query[:MAX_TEXT].split()))
    return span


@lru_cache(maxsize=512)
def summarise(query: str) -> str:
    """Return what a statement does to which table, as `db.query.summary` has it."""
    verb = query.split(None, 1)[0].upper()
    if verb == "WITH":
        changes = [f"{what.upper().split()[0]} {table}" for what, table in _CHANGES.findall(query)]
        if changes:
            return "; ".join(dict.fromkeys(changes))[:MAX_SUMMARY]
    table = _TABLE.search(query)
    return verb if table is None else f"{verb} {table[1]}"
