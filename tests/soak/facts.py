"""What a desk holds, as plain values: of a live engine and of one rebuilt from PostgreSQL alike.

`python -m tests.soak.facts DSN` loads a fresh engine in a process of its own, whose memory is not
that of the soak, and writes its facts to stdout.

Money is equal where it differs by less than `EQUAL_WITHIN`: quotients that do not end are rounded
at 34 digits, so a sum of margins depends on its order in the last of them. Not compared:
`swapped_until` where memory alone has moved it on, for a swap that came to nothing; price bands,
which depend on when an account was last looked at.
"""

import asyncio
import pickle
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

import asyncpg

from service.domain.account import Account
from service.domain.book import ID_BITS, WATCH_BIT, TriggerBook
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.market import Market
from service.domain.money import EQUAL_WITHIN
from service.domain.order import Order
from service.domain.quote import QuoteGuard
from service.domain.record import order_state
from service.storage.loader import load_engine

BOOKS = ("ask_at_most", "ask_at_least", "bid_at_most", "bid_at_least")
SPREADS = "spread_at_least"
MAX_TOLD = 20
_ID_MASK = (1 << ID_BITS) - 1

Fact = Mapping[str, object]


class Facts(NamedTuple):
    """Everything by kind and name; each thing is a mapping of its fields."""

    settings: dict[str, Fact]
    accounts: dict[str, Fact]
    orders: dict[str, Fact]
    books: dict[str, Fact]


def facts_of(desk: Desk) -> Facts:
    """Return what a desk holds now."""
    return Facts(
        {
            "symbols": {name: market.symbol for name, market in desk.markets.items()},
            "groups": dict(desk.groups),
            "terms": {str(key): terms.settings for key, terms in desk.terms.items()},
            "shard": {"next order": desk.next_order_id, "positions": desk.open_positions},
        },
        {str(each.account_id): _account(each) for each in desk.accounts.values()},
        {str(each.order_id): _order(each) for each in desk.orders.values()},
        {
            f"{market.symbol.name} {name}": {"triggers": resting(desk, market, name)}
            for market in desk.markets.values()
            for name in BOOKS
        },
    )


def _account(account: Account) -> Fact:
    fact: dict[str, object] = {
        "user_type": account.user_type,
        "group": account.group.name,
        "leverage": account.leverage,
        "balance": account.balance,
        "sequence": account.sequence,
        "in_margin_call": account.in_margin_call,
        "margin": account.margin,
    }
    for symbol, exposure in account.exposures.items():
        fact |= {
            f"positions {symbol}": sorted(exposure.positions),
            f"volumes {symbol}": (exposure.long_volume, exposure.short_volume),
            f"long margin {symbol}": exposure.long_margin,
            f"short margin {symbol}": exposure.short_margin,
        }
    return fact


def _order(order: Order) -> Fact:
    fact = order_state(order, None)._asdict()
    # A market order's opening tick judges nothing any more once another has come.
    return fact | {"trail_trigger": order.trail_trigger, "status": order.status}


def resting(desk: Desk, market: Market, book_name: str) -> list[tuple[int, int]]:
    """Return the live (price, order id) of a book, those that wait beside it included."""
    book: TriggerBook = getattr(market, book_name)
    return sorted(
        {
            (price, entry_id)
            for price, entry_id in _entries(market, book)
            if not entry_id & WATCH_BIT and desk.rests(book, price, entry_id)
        }
    )


def _entries(market: Market, book: TriggerBook) -> Iterator[tuple[int, int]]:
    sign = -1 if book.fires_at_most else 1
    for entry in book._heap:
        yield sign * (entry >> ID_BITS), entry & _ID_MASK
    for parked_in, price, entry_id in market.parked:
        if parked_in is book:
            yield price, entry_id


def differences(held: Facts, stored: Facts) -> list[str]:
    """Return in what two desks differ, the first few of each kind."""
    told: list[str] = []
    for kind, one, other in zip(Facts._fields, held, stored, strict=True):
        found = [
            f"{kind} {name} {field}: held {a!r}, stored {b!r}"
            for name in sorted(one.keys() | other.keys())
            for field, a, b in _fields(one.get(name), other.get(name))
            if not _is_same(field, a, b)
        ]
        told += found[:MAX_TOLD]
        if len(found) > MAX_TOLD:
            told.append(f"{kind}: and {len(found) - MAX_TOLD} more")
    return told


def _fields(one: Fact | None, other: Fact | None) -> Iterator[tuple[str, object, object]]:
    if one is None or other is None:
        yield "itself", one, other
        return
    for field in sorted(one.keys() | other.keys()):
        yield field, one.get(field), other.get(field)


def _is_same(field: str, held: object, stored: object) -> bool:
    if field == "swapped_until" and isinstance(held, int):
        return stored is None or (isinstance(stored, int) and stored <= held)
    if isinstance(held, Decimal) and isinstance(stored, Decimal):
        return abs(held - stored) <= EQUAL_WITHIN
    return held == stored


async def rebuilt(dsn: str) -> Facts:
    """Return what an engine holds that another process has loaded from PostgreSQL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, dsn, stdout=asyncio.subprocess.PIPE
    )
    written, _ = await process.communicate()
    assert process.returncode == 0, "the fresh engine could not be loaded"
    facts: Facts = pickle.loads(written)
    return facts


async def _load(dsn: str) -> Facts:
    engine = Engine(Desk(), QuoteGuard())
    connection = await asyncpg.connect(dsn)
    try:
        await load_engine(connection, engine)
    finally:
        await connection.close()
    return facts_of(engine.desk)


def missing_entries(desk: Desk) -> list[str]:
    """Return the live orders and price bands that do not rest where they should."""
    names = {
        id(getattr(market, book)): f"{market.symbol.name} {book}"
        for market in desk.markets.values()
        for book in (*BOOKS, SPREADS)
    }
    rests = {
        (name, *entry)
        for market in desk.markets.values()
        for book in (*BOOKS, SPREADS)
        for name in (f"{market.symbol.name} {book}",)
        for entry in _entries(market, getattr(market, book))
    }
    due = [
        (names[id(book)], price, order.order_id, f"order {order.order_id}")
        for order in desk.orders.values()
        for book, price in desk.triggers(order)
    ] + [
        (names[id(book)], bound, WATCH_BIT | watch_id, f"band {watch_id}")
        for watch_id, watch in desk.watches.items()
        for book, bound in watch.bounds.items()
    ]
    return [
        f"{what} does not rest at {price} in {book}"
        for book, price, entry_id, what in due
        if (book, price, entry_id) not in rests
    ]


if __name__ == "__main__":
    # As the module that the parent knows, so that what is pickled is found there.
    from tests.soak import facts

    sys.stdout.buffer.write(pickle.dumps(asyncio.run(facts._load(sys.argv[1]))))
