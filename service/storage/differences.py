"""What of live orders and accounts is stored otherwise than memory holds it (R5.3).

One statement for a range of accounts: memory's rows go in as arrays, are joined with the stored
ones by the index of live orders, and only those that differ come back, with what differs. An
account that has moved on since its last commit is left out with its orders: what is in flight
cannot be compared. Money is compared as `EQUAL_WITHIN` says, everything else exactly.

Not compared: `swapped_until`, which memory alone moves on for a swap that came to nothing, and
`open_tick`, which means nothing after a restart.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from service.domain.account import Account
from service.domain.instrument import UserType
from service.domain.money import EQUAL_WITHIN
from service.domain.order import OrderState
from service.domain.shard import ALL_ACCOUNTS, AccountShard
from service.storage.batch import ORDER_COLUMNS
from service.storage.connection import Connection

MAX_FOUND = 10_000
END_OF_ACCOUNTS = 2**63 - 1
_EXACT_COLUMNS = (
    *(("order_id", "bigint"), ("account_id", "bigint"), ("symbol", "text")),
    *(("order_type", "text"), ("status", "text"), ("volume", "bigint"), ("price", "bigint")),
    *(("stop_loss", "bigint"), ("take_profit", "bigint"), ("trigger_price", "bigint")),
    *(("stop_loss_trigger", "bigint"), ("take_profit_trigger", "bigint")),
    *(("open_price", "bigint"), ("open_time", "bigint"), ("limit_price", "bigint")),
    *(("activated_time", "bigint"), ("trailing_distance", "bigint"), ("expires_at", "bigint")),
)
_MONEY_COLUMNS = tuple((name, "numeric") for name in ("margin", "commission", "profit", "swap"))
_COLUMNS = (*_EXACT_COLUMNS, *_MONEY_COLUMNS)
_compared = itemgetter(*(ORDER_COLUMNS.index(name) for name, _ in _COLUMNS))


class Difference(NamedTuple):
    """An order, or an account where `order_id` is None, that is stored otherwise.

    `kind` is a value of the vocabulary's RECONCILED; `sequence` the account's when compared, None
    where memory lacks the account; `detail` says what is stored and held.
    """

    account_id: int
    order_id: int | None
    kind: str
    sequence: int | None
    detail: str


class AccountRange(NamedTuple):
    """Accounts of a user type with `after` < id <= `until`, and memory's orders below an id."""

    user_type: UserType
    after: int
    until: int
    orders_below: int
    shard: AccountShard = ALL_ACCOUNTS


def _statement() -> str:
    first = 7 + 5
    held = ", ".join(
        f"${number}::{'text[]::numeric' if kind == 'numeric' else kind}[]"
        for number, (_, kind) in enumerate(_COLUMNS, start=first)
    )
    names = ", ".join(name for name, _ in _COLUMNS)
    exact = ", ".join(f"{{0}}.{name}" for name, _ in _EXACT_COLUMNS[1:])
    money = " OR ".join(f"NOT {_is_equal(f's.{m}', f'h.{m}')}" for m, _ in _MONEY_COLUMNS)
    return f"""
WITH stored_accounts AS MATERIALIZED (
    SELECT account_id, sequence, balance, margin, in_margin_call FROM accounts
    WHERE user_type = $1 AND account_id > $2 AND account_id <= $3 AND account_id % $5 = $6
),
held_accounts AS MATERIALIZED (
    SELECT * FROM unnest($7::bigint[], $8::bigint[], $9::text[]::numeric[], $10::text[]::numeric[],
        $11::boolean[]) AS h (account_id, sequence, balance, margin, in_margin_call)
),
compared AS MATERIALIZED (
    SELECT account_id, sequence FROM stored_accounts JOIN held_accounts USING (account_id, sequence)
),
stored_orders AS MATERIALIZED (
    SELECT o.* FROM compared c CROSS JOIN LATERAL (
        SELECT {names} FROM orders
        WHERE account_id = c.account_id AND status IN ('PENDING', 'OPEN') AND order_id < $4
        OFFSET 0
    ) o
),
held_orders AS MATERIALIZED (
    SELECT * FROM unnest({held}) AS h ({names})
    WHERE account_id IN (SELECT account_id FROM compared)
),
different_orders AS (
    SELECT coalesce(s.account_id, h.account_id) AS account_id, order_id,
        CASE WHEN h.account_id IS NULL THEN 'missing_in_memory'
            WHEN s.account_id IS NULL THEN 'missing_in_database' ELSE 'differs' END AS kind,
        {_detail()} AS detail
    FROM stored_orders s FULL JOIN held_orders h USING (order_id)
    WHERE ({exact.format("s")}) IS DISTINCT FROM ({exact.format("h")}) OR {money}
),
different_accounts AS (
    SELECT account_id, h.sequence, {_detail()} AS detail
    FROM stored_accounts s FULL JOIN held_accounts h USING (account_id)
    WHERE s.sequence IS NULL OR h.sequence IS NULL OR s.sequence > h.sequence
        OR (s.sequence = h.sequence AND (s.in_margin_call <> h.in_margin_call
            OR NOT {_is_equal("s.balance", "h.balance")}
            OR NOT {_is_equal("s.margin", "h.margin")}))
)
SELECT account_id, order_id, kind, sequence, detail
FROM different_orders JOIN compared USING (account_id)
UNION ALL SELECT account_id, NULL, 'account', sequence, detail FROM different_accounts
ORDER BY account_id, order_id NULLS FIRST LIMIT {MAX_FOUND}
"""


def _is_equal(one: str, other: str) -> str:
    return f"coalesce(abs({one} - {other}) <= {EQUAL_WITHIN:f}, {one} IS NULL AND {other} IS NULL)"


def _detail() -> str:
    """Return an expression that names the columns that differ, with both values."""
    return """(
            SELECT coalesce(string_agg(format('%s: stored %s, held %s', key,
                coalesce(one.value, 'none'), coalesce(other.value, 'none')), '; '), '')
            FROM jsonb_each_text(to_jsonb(s)) AS one (key, value)
            FULL JOIN jsonb_each_text(to_jsonb(h)) AS other (key, value) USING (key)
            WHERE one.value IS DISTINCT FROM other.value
        )"""


DIFFERENCES = _statement()


def difference_arguments(
    accounts: AccountRange, held: Sequence[Account], orders: Iterable[OrderState]
) -> list[object]:
    """Return the arguments of `DIFFERENCES` for all accounts of a range and their live orders."""
    *limits, shard = accounts
    rows = [_compared(order) for order in orders]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_COLUMNS)
    return [
        *limits,
        shard.of,
        shard.number,
        [account.account_id for account in held],
        [account.sequence for account in held],
        [str(account.balance) for account in held],
        [str(account.margin) for account in held],
        [account.in_margin_call for account in held],
        *(
            [None if value is None else str(value) for value in values]
            if kind == "numeric"
            else values
            for values, (_, kind) in zip(columns, _COLUMNS, strict=True)
        ),
    ]


async def find_differences(
    connection: Connection,
    accounts: AccountRange,
    held: Sequence[Account],
    orders: Iterable[OrderState],
) -> list[Difference]:
    """Return where what is stored is not what memory holds; `held` are all accounts of the range.

    `orders` are the live orders of these accounts with an id below `accounts.orders_below`.
    """
    arguments = difference_arguments(accounts, held, orders)
    return [Difference(*row) for row in await connection.fetch(DIFFERENCES, *arguments)]
