"""One transaction for many decisions: a single statement with arrays.

A batch is what the writer takes at once, in decision order. An order or account that several of its
decisions change is written once: from the state the first expects to the state the last leaves. The
statement applies completely or not at all, and only if the lease still has this epoch and the batch
before this one was the last: sent twice, it applies once.
"""

import uuid
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from operator import itemgetter
from typing import Any

from service.domain.decision import Decision
from service.domain.money import EXACT
from service.storage.audit import decided_changes

COMMITTED = "committed"

# The driver looks at each element of a list several times, which takes as long as half of the
# statement: columns come as arrays written out, but for those that would have to be quoted.
_LISTS = ("text", "jsonb")
_ARRAY_TYPES = {kind: f"text::{kind}[]" for kind in ("bigint", "numeric", "boolean")}
_ARRAY_TYPES |= {"word": "text::text[]", **{kind: f"{kind}[]" for kind in _LISTS}}

_ORDER_COLUMNS = (
    ("order_id", "bigint"),
    ("account_id", "bigint"),
    ("client_order_id", "text"),
    ("symbol", "text"),
    ("order_type", "word"),
    ("status", "word"),
    ("volume", "bigint"),
    ("price", "bigint"),
    ("stop_loss", "bigint"),
    ("take_profit", "bigint"),
    ("trigger_price", "bigint"),
    ("stop_loss_trigger", "bigint"),
    ("take_profit_trigger", "bigint"),
    ("placed_time", "bigint"),
    ("open_price", "bigint"),
    ("open_time", "bigint"),
    ("open_tick", "bigint"),
    ("margin", "numeric"),
    ("commission", "numeric"),
    ("close_price", "bigint"),
    ("close_time", "bigint"),
    ("profit", "numeric"),
    ("reason", "word"),
    ("limit_price", "bigint"),
    ("activated_time", "bigint"),
    ("trailing_distance", "bigint"),
    ("expires_at", "bigint"),
    ("swap", "numeric"),
    ("swapped_until", "bigint"),
)
ORDER_COLUMNS = tuple(name for name, _ in _ORDER_COLUMNS)
_FIRST_MUTABLE = ORDER_COLUMNS.index("status")
_NEVER_UPDATED = {"placed_time"}
_DEAL_COLUMNS = (
    ("deal_id", "bigint"),
    ("order_id", "bigint"),
    ("account_id", "bigint"),
    ("event", "word"),
    ("reason", "word"),
    ("volume", "bigint"),
    ("price", "bigint"),
    ("slippage", "bigint"),
    ("profit", "numeric"),
    ("commission", "numeric"),
    ("balance_after", "numeric"),
    ("group_sell", "bigint"),
    ("group_buy", "bigint"),
    ("tick", "bigint"),
    ("time", "bigint"),
    ("corrects", "bigint"),
)
_CORRECTED_COLUMNS = (("deal_id", "bigint"), ("corrects", "bigint"))
_LEDGER_COLUMNS = (
    ("account_id", "bigint"),
    ("order_id", "bigint"),
    ("kind", "word"),
    ("amount", "numeric"),
    ("balance_after", "numeric"),
    ("time", "bigint"),
    ("decision_id", "bigint"),
)
_AUDIT_COLUMNS = (
    ("actor", "text"),
    ("action", "text"),
    ("target", "text"),
    ("reason", "text"),
    ("before", "jsonb"),
    ("after", "jsonb"),
    ("time", "bigint"),
    ("decision_id", "bigint"),
)
_OUTBOX_COLUMNS = (
    ("event_id", "bigint"),
    ("account_id", "bigint"),
    ("sequence", "bigint"),
    ("payload", "text"),
    ("traceparent", "text"),
)
_COMMAND_COLUMNS = (
    ("account_id", "bigint"),
    ("key", "text"),
    ("answer", "text"),
    ("event_id", "bigint"),
)
_ACCOUNT_COLUMNS = (
    ("account_id", "bigint"),
    ("sequence_before", "bigint"),
    ("balance_before", "numeric"),
    ("sequence", "bigint"),
    ("balance", "numeric"),
    ("margin", "numeric"),
    ("in_margin_call", "boolean"),
)
_CHANGE_COLUMNS = (
    ("order_id", "bigint"),
    ("expected", "word"),
    *(c for c in _ORDER_COLUMNS[_FIRST_MUTABLE:] if c[0] not in _NEVER_UPDATED),
)
_changes_of = itemgetter(*(ORDER_COLUMNS.index(name) for name, _ in _CHANGE_COLUMNS[2:]))


def _statement() -> str:
    number = 6

    def arrays(columns: tuple[tuple[str, str], ...], alias: str) -> str:
        nonlocal number
        first = number + 1
        number += len(columns)
        casts = ", ".join(
            f"${first + i}::{_ARRAY_TYPES[kind]}" for i, (_, kind) in enumerate(columns)
        )
        names = ", ".join(name for name, _ in columns)
        return f"unnest({casts}) WITH ORDINALITY AS {alias} ({names}, line)"

    def insert(table: str, columns: tuple[tuple[str, str], ...]) -> str:
        names = ", ".join(name for name, _ in columns)
        return (
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {arrays(columns, 'n')} "
            "WHERE EXISTS (SELECT FROM fence) ORDER BY line"
        )

    new_orders = insert("orders", _ORDER_COLUMNS)
    order_ids = f"${number + 1}::{_ARRAY_TYPES['bigint']}"
    assignments = ", ".join(f"{name} = n.{name}" for name, _ in _CHANGE_COLUMNS[2:])
    changed_orders = (
        f"UPDATE orders o SET {assignments} FROM {arrays(_CHANGE_COLUMNS, 'n')} "
        "WHERE o.order_id = n.order_id AND o.status = n.expected "
        "AND EXISTS (SELECT FROM fence) RETURNING o.order_id"
    )
    account_ids = f"${number + 1}::{_ARRAY_TYPES['bigint']}"
    changed_accounts = (
        "UPDATE accounts a SET sequence = n.sequence, balance = n.balance, margin = n.margin, "
        f"in_margin_call = n.in_margin_call FROM {arrays(_ACCOUNT_COLUMNS, 'n')} "
        "WHERE a.account_id = n.account_id AND a.sequence = n.sequence_before "
        "AND a.balance = n.balance_before AND EXISTS (SELECT FROM fence) RETURNING a.account_id"
    )
    deal_ids = f"${number + 2}::{_ARRAY_TYPES['bigint']}"
    corrected_deals = (
        f"UPDATE deals d SET corrected_by = n.deal_id FROM {arrays(_CORRECTED_COLUMNS, 'n')} "
        "WHERE d.deal_id = n.corrects AND d.corrected_by IS NULL "
        "AND EXISTS (SELECT FROM fence) RETURNING d.order_id"
    )
    return f"""
WITH fence AS (
    UPDATE shard_leases SET last_batch = $3, last_tick = $4, last_decision = $5
    WHERE shard = $6 AND epoch = $1 AND last_batch = $2 RETURNING shard
),
new_orders AS ({new_orders}),
changed_orders AS ({changed_orders}),
changed_accounts AS ({changed_accounts}),
corrected_deals AS ({corrected_deals}),
new_deals AS ({insert("deals", _DEAL_COLUMNS)}),
new_entries AS ({insert("ledger", _LEDGER_COLUMNS)}),
new_audit AS ({insert("audit", _AUDIT_COLUMNS)}),
new_events AS ({insert("outbox", _OUTBOX_COLUMNS)}),
new_answers AS ({insert("commands", _COMMAND_COLUMNS)})
SELECT CASE
    WHEN NOT EXISTS (SELECT FROM fence) THEN 'fenced'
    WHEN (SELECT count(*) FROM changed_orders) <> cardinality({order_ids})
        OR (SELECT count(*) FROM changed_accounts) <> cardinality({account_ids})
        OR (SELECT count(*) FROM corrected_deals) <> cardinality({deal_ids})
    THEN refuse_batch(
        ARRAY(SELECT unnest({order_ids}) EXCEPT SELECT order_id FROM changed_orders),
        ARRAY(SELECT unnest({account_ids})
            EXCEPT SELECT account_id FROM changed_accounts))
    ELSE '{COMMITTED}' END
"""


COMMIT_STATEMENT = _statement()


def commit_arguments(
    rows: list[Any],
    last: Decision,
    *,
    epoch: int,
    previous_batch: uuid.UUID,
    batch: uuid.UUID,
    shard: int = 0,
) -> list[Any]:
    """Return the arguments of `COMMIT_STATEMENT` for encoded decisions that end with `last`."""
    return [epoch, previous_batch, batch, last.tick, last.decision_id, shard, *rows]


def encode(
    decisions: Sequence[Decision], payloads: Sequence[str], traces: Iterable[str | None] = ()
) -> list[Any]:
    """Return decisions as rows by column; `payloads` are their events as JSON.

    `traces` are the traceparents of their causes, None for what is not traced; none at all if
    nothing is.
    """
    new_orders: dict[int, Any] = {}
    changed_orders: dict[int, Any] = {}
    expected: dict[int, str] = {}
    accounts: dict[int, list[Any]] = {}
    deals = []
    corrected = []
    ledger = []
    audit = []
    outbox = []
    commands = []
    events = zip(decisions, payloads, strict=True)
    for (decision, payload), trace in zip_longest(events, traces):
        decision_id, tick, time, _, account, order, before, deal, postings, key, audited = decision
        account_id = account.account_id
        order_id = None
        if order is not None:
            order_id = order.order_id
            if before is None or order_id in new_orders:
                new_orders[order_id] = order
            else:
                expected.setdefault(order_id, before)
                changed_orders[order_id] = order
        if deal is not None:
            corrects = deal.corrects
            deals.append((decision_id, order_id, account_id, *deal[:10], tick, deal.time, corrects))
            if corrects is not None:
                corrected.append((decision_id, corrects))
        if audited is not None:
            audit.append((*audited, *decided_changes(decision), time, decision_id))
        balance_before = account.balance
        for posting in postings:
            balance_before = EXACT.subtract(balance_before, posting.amount)
            ledger.append((account_id, order_id, *posting, time, decision_id))
        row = accounts.get(account_id)
        if row is None:
            accounts[account_id] = [
                account_id,
                account.sequence - 1,
                balance_before,
                account.sequence,
                account.balance,
                account.margin,
                account.in_margin_call,
            ]
        else:
            row[3:] = account.sequence, account.balance, account.margin, account.in_margin_call
        outbox.append((decision_id, account_id, account.sequence, payload, trace))
        if key is not None:
            commands.append((account_id, key, payload, decision_id))
    return [
        *_arrays(list(new_orders.values()), _ORDER_COLUMNS),
        *_arrays(
            [
                (order_id, expected[order_id], *_changes_of(order))
                for order_id, order in changed_orders.items()
            ],
            _CHANGE_COLUMNS,
        ),
        *_arrays(list(accounts.values()), _ACCOUNT_COLUMNS),
        *_arrays(corrected, _CORRECTED_COLUMNS),
        *_arrays(deals, _DEAL_COLUMNS),
        *_arrays(ledger, _LEDGER_COLUMNS),
        *_arrays(audit, _AUDIT_COLUMNS),
        *_arrays(outbox, _OUTBOX_COLUMNS),
        *_arrays(commands, _COMMAND_COLUMNS),
    ]


def _arrays(rows: Sequence[Any], columns: tuple[tuple[str, str], ...]) -> list[Any]:
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    return [_array(each, kind) for each, (_, kind) in zip(values, columns, strict=True)]


def _array(values: Sequence[Any], kind: str) -> str | Sequence[Any]:
    """Return a column as the statement takes it."""
    if kind in _LISTS:
        return values
    is_shown_as_stored = kind in ("bigint", "boolean")  # and then fastest all at once
    text = str([*values])[1:-1] if is_shown_as_stored else ",".join(map(str, values))
    return f"{{{text.replace('None', 'NULL')}}}"
