"""Reads of committed state: each is of one moment, on a connection borrowed for just that.

`Unreachable` is raised when the database is away, or the symbols are not loaded yet. Lists are
newest first and paged by key: `before` is the id the page before ended with.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from service.domain.decision import DealEvent, EventKind
from service.domain.instrument import Symbol, UserType
from service.domain.money import format_money, format_scaled
from service.domain.order import OrderStatus
from service.domain.times import format_time
from service.storage.audit import AUDIT_PAGE, AuditView, audit_from
from service.storage.database import Database
from service.storage.dealt import DEALT, POSTED, Dealt, dealt_from
from service.storage.errors import Unreachable
from service.storage.rows import ORDER_SELECT, order_from
from service.storage.transactions import one_moment
from service.storage.views import (
    AccountView,
    DealView,
    EventView,
    OrderView,
    format_decimal,
    format_volume,
    order_view,
)

ACCOUNT_SELECT = (
    "account_id, user_type, group_name, leverage, balance, margin, sequence, in_margin_call"
)
_ACCOUNT_WIDTH = len(ACCOUNT_SELECT.split(", "))

LIVE_ORDERS = f"""
SELECT {", ".join(f"a.{column}" for column in ACCOUNT_SELECT.split(", "))},
    {", ".join(f"o.{column}" for column in ORDER_SELECT.split(", "))}
FROM accounts a LEFT JOIN orders o
    ON o.account_id = a.account_id AND o.status IN ('PENDING', 'OPEN')
WHERE a.account_id = ANY($1::bigint[])
ORDER BY a.account_id, o.order_id
"""
ORDERS_PAGE = f"""
SELECT {ORDER_SELECT} FROM orders
WHERE account_id = $1 AND order_id < $2
    AND ($3::text[] IS NULL OR status = ANY($3)) AND ($4::text IS NULL OR symbol = $4)
ORDER BY order_id DESC LIMIT $5
"""
ORDER = f"SELECT {ORDER_SELECT} FROM orders WHERE order_id = $1 AND account_id = $2"
LEDGER_PAGE = """
SELECT entry_id, kind, amount, balance_after, order_id, time FROM ledger
WHERE account_id = $1 AND entry_id < $2 ORDER BY entry_id DESC LIMIT $3
"""
DEALS_PAGE = """
SELECT d.deal_id, d.order_id, o.symbol, d.event, d.reason, d.volume, d.price, d.slippage, d.profit,
    d.commission, d.balance_after, d.time, d.corrects
FROM deals d JOIN orders o USING (order_id)
WHERE d.account_id = $1 AND d.deal_id < $2 ORDER BY d.deal_id DESC LIMIT $3
"""
EVENTS_AFTER = """
SELECT coalesce(o.traceparent, '') || o.payload
FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS asked (account_id, sequence, number)
CROSS JOIN LATERAL (SELECT max(sequence) AS sequence FROM outbox
    WHERE account_id = asked.account_id) AS newest
CROSS JOIN LATERAL (
    SELECT * FROM outbox
    WHERE newest.sequence <> asked.sequence AND account_id = asked.account_id AND sequence >
        CASE WHEN newest.sequence < asked.sequence THEN newest.sequence - 1 ELSE asked.sequence END
    ORDER BY sequence LIMIT $3
) AS o
ORDER BY asked.number, o.sequence LIMIT $3
"""
ANSWER = f"""
SELECT (SELECT answer FROM commands WHERE account_id = $1 AND key = $2), o.*
FROM (VALUES (true)) AS one LEFT JOIN LATERAL (
    SELECT a.sequence AS account_sequence, a.balance AS account_balance,
        a.margin AS account_margin, a.in_margin_call,
        {", ".join(f"o.{name}" for name in ORDER_SELECT.split(", "))}
    FROM orders o JOIN accounts a USING (account_id)
    WHERE o.account_id = $1 AND o.client_order_id = $2
) AS o ON true
"""
_NO_BOUND = 2**63 - 1
# Rows turned into views before others get the event loop: some milliseconds of work.
ROWS_AT_ONCE = 250


class LedgerView(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger entry; the amounts of an account sum to its balance."""

    entry_id: int
    kind: str
    amount: str
    balance_after: str
    order_id: int | None
    time: str


class Reader:
    """Committed state for the gateway, the cache and the portfolio."""

    def __init__(self, database: Database, symbols: Callable[[], dict[str, Symbol]]) -> None:
        self._database = database
        self._symbols = symbols

    async def account(self, account_id: int) -> AccountView | None:
        """Return an account, or None where there is none."""
        rows = await self._fetch(
            "account", f"SELECT {ACCOUNT_SELECT} FROM accounts WHERE account_id = $1", account_id
        )
        return account_from(tuple(rows[0])) if rows else None

    async def accounts(self, after: int, limit: int) -> list[AccountView]:
        """Return accounts by id, from the first above `after`."""
        rows = await self._fetch(
            "accounts",
            f"SELECT {ACCOUNT_SELECT} FROM accounts WHERE account_id > $1 "
            "ORDER BY account_id LIMIT $2",
            after,
            limit,
        )
        return [account_from(tuple(row)) for row in rows]

    async def live_orders(
        self, account_ids: Sequence[int]
    ) -> dict[int, tuple[AccountView, list[OrderView]]]:
        """Return accounts with their pending and open orders, all of one moment."""
        found: dict[int, tuple[AccountView, list[OrderView]]] = {}
        rows = await self._fetch("live_orders", LIVE_ORDERS, account_ids)
        for number, row in enumerate(rows, 1):
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
            values = tuple(row)
            entry = found.get(values[0])
            if entry is None:
                entry = found[values[0]] = (account_from(values[:_ACCOUNT_WIDTH]), [])
            if values[_ACCOUNT_WIDTH] is not None:
                state = order_from(values[_ACCOUNT_WIDTH:])
                entry[1].append(order_view(state, self._symbol(state.symbol)))
        return found

    async def orders(
        self,
        account_id: int,
        statuses: Collection[OrderStatus] | None,
        symbol: str | None,
        limit: int,
        before: int | None = None,
    ) -> list[OrderView]:
        """Return a page of an account's orders, of all statuses and symbols where None."""
        rows = await self._fetch(
            "orders",
            ORDERS_PAGE,
            account_id,
            _NO_BOUND if before is None else before,
            None if statuses is None else list(statuses),
            symbol,
            limit,
        )
        return [self._order(row) for row in rows]

    async def order(self, account_id: int, order_id: int) -> OrderView | None:
        """Return an order of this account, or None."""
        rows = await self._fetch("order", ORDER, order_id, account_id)
        return self._order(rows[0]) if rows else None

    async def ledger(
        self, account_id: int, limit: int, before: int | None = None
    ) -> list[LedgerView]:
        """Return a page of an account's ledger."""
        rows = await self._fetch(
            "ledger", LEDGER_PAGE, account_id, _NO_BOUND if before is None else before, limit
        )
        return [
            LedgerView(
                entry_id=row["entry_id"],
                kind=row["kind"],
                amount=format_money(row["amount"]),
                balance_after=format_money(row["balance_after"]),
                order_id=row["order_id"],
                time=format_time(row["time"]),
            )
            for row in rows
        ]

    async def deals(self, account_id: int, limit: int, before: int | None = None) -> list[DealView]:
        """Return a page of an account's deals."""
        rows = await self._fetch(
            "deals", DEALS_PAGE, account_id, _NO_BOUND if before is None else before, limit
        )
        return [deal_from(row, self._symbol(row["symbol"])) for row in rows]

    async def audit(self, limit: int, before: int | None = None) -> list[AuditView]:
        """Return a page of the audit."""
        rows = await self._fetch(
            "audit", AUDIT_PAGE, _NO_BOUND if before is None else before, limit
        )
        return [audit_from(tuple(row)) for row in rows]

    async def dealt(self, deal_id: int) -> Dealt | None:
        """Return a deal with all that it did, of one moment, or None where there is none."""
        async with self._database.read("dealt") as connection, one_moment(connection):
            row = await connection.fetchrow(DEALT, deal_id)
            if row is None:
                return None
            posted = await connection.fetch(POSTED, deal_id)
        return dealt_from(deal_id, tuple(row), [tuple(each) for each in posted])

    async def events_after(self, sequences: Mapping[int, int], limit: int) -> list[bytes]:
        """Return accounts' events after a sequence of each, account by account, oldest first.

        At most `limit` in all, each as it is published (`envelope`). Of an account whose newest
        event is before that sequence, the newest one: the database was restored from a backup.
        """
        rows = await self._fetch(
            "events_after", EVENTS_AFTER, list(sequences), list(sequences.values()), limit
        )
        return [row[0].encode() for row in rows]

    async def answer(self, account_id: int, key: str) -> bytes | None:
        """Return the first answer to an idempotency key, or None where it was never used.

        An order that came with the book has used its client_order_id as key: it is shown as it is.
        """
        [row] = await self._fetch("answer", ANSWER, account_id, key)
        answer, sequence, balance, margin, in_margin_call, *order = tuple(row)
        if answer is not None:
            return str(answer).encode()
        if sequence is None:
            return None
        state = order_from(order)
        return msgspec.json.encode(
            EventView(
                account_id=account_id,
                sequence=sequence,
                kind=EventKind.PLACED,
                balance=format_money(balance),
                margin=format_decimal(margin),
                order=order_view(state, self._symbol(state.symbol)),
                deal=None,
                in_margin_call=in_margin_call,
            )
        )

    def _symbol(self, name: str) -> Symbol:
        symbol = self._symbols().get(name)
        if symbol is None:  # settings are loaded a moment after the API listens
            raise Unreachable(f"symbol {name} is not loaded yet")
        return symbol

    def _order(self, row: asyncpg.Record) -> OrderView:
        state = order_from(tuple(row))
        return order_view(state, self._symbol(state.symbol))

    async def _fetch(
        self, operation: str, statement: str, *arguments: object
    ) -> list[asyncpg.Record]:
        async with self._database.read(operation) as connection:
            return await connection.fetch(statement, *arguments)


def account_from(row: Sequence[Any]) -> AccountView:
    """Show an account from a row of `ACCOUNT_SELECT`."""
    account_id, user_type, group, leverage, balance, margin, sequence, in_margin_call = row
    return AccountView(
        account_id=account_id,
        user_type=UserType(user_type),
        group=group,
        leverage=format_decimal(leverage),
        balance=format_money(balance),
        margin=format_decimal(margin),
        sequence=sequence,
        in_margin_call=in_margin_call,
    )


def deal_from(row: asyncpg.Record, symbol: Symbol) -> DealView:
    """Show a deal from a row of `DEALS_PAGE`."""
    volume, price = row["volume"], row["price"]
    profit, commission, balance = row["profit"], row["commission"], row["balance_after"]
    return DealView(
        deal_id=row["deal_id"],
        order_id=row["order_id"],
        symbol=row["symbol"],
        event=DealEvent(row["event"]),
        reason=row["reason"],
        volume=None if volume is None else format_volume(volume),
        price=None if price is None else format_scaled(price, symbol.digits),
        slippage_points=row["slippage"],
        profit=format_money(profit),
        commission=format_money(commission),
        balance_after=format_money(balance),
        time=format_time(row["time"]),
        corrects=row["corrects"],
    )
