"""A trading shard on a real database, small enough to be checked to the last row.

Symbol EURUSD (5 digits) and two groups: `plain` without markup or commission, `gold` with a markup
of 7 points and a commission. Account ids are 1, 2, ...: odd ones live in `plain`, even ones demo in
`gold`, each with 1,000,000 USD at 1:100.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg

from service.domain.account import Account
from service.domain.commands import CommandDesk
from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.instructions import PlaceOrder
from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    Group,
    GroupSymbol,
    InstrumentType,
    Symbol,
    UserType,
)
from service.domain.order import Order, OrderState, OrderStatus, OrderType
from service.domain.quote import Quote, QuoteGuard
from service.domain.record import order_state
from service.domain.shard import ALL_ACCOUNTS, AccountShard
from service.instruments import Instruments
from service.loops.administration import Administration
from service.loops.bus import MemoryBus
from service.loops.intake import Intake
from service.loops.leadership import Leadership
from service.loops.rules import Rules
from service.loops.sweep import Sweeps
from service.loops.trading import Trading
from service.storage.database import Database, apply_migrations
from service.storage.importer import Opening, open_book
from service.storage.reader import Reader
from service.storage.settings_version import SettingsVersions
from service.storage.views import EventView
from telemetry import catalogue

SYMBOL = "EURUSD"
LOT = 10_000
BALANCE = Decimal("1000000.00")
GUARD = QuoteGuard(check_jumps=False)

EURUSD = Symbol(
    SYMBOL, 5, Decimal(100_000), "EUR", "USD", InstrumentType.FOREX, 100, 100 * LOT, 100
)
PLAIN = Group("plain", Decimal(100), Decimal(50), False, FillPolicy.MARKET)
GOLD = Group("gold", Decimal(100), Decimal(50), False, FillPolicy.MARKET)


def terms_of(group: str, markup: int, commission: str = "0") -> GroupSymbol:
    """Return terms on EURUSD with a markup in points and a commission in USD per lot."""
    return GroupSymbol(
        group,
        SYMBOL,
        spread=Decimal(markup),
        spread_pip=Decimal("0.00001"),
        commission_type=CommissionType.ENTRY_AND_EXIT,
        commission_value_type=CommissionValueType.PER_LOT,
        commission=Decimal(commission),
        swap_long=Decimal(0),
        swap_short=Decimal(0),
        margin_factor=Decimal(1),
    )


@dataclass(frozen=True, slots=True)
class OpeningAccount:
    account_id: int
    user_type: UserType
    group: str
    leverage: Decimal = Decimal(100)
    balance: Decimal = BALANCE


@dataclass(frozen=True, slots=True)
class Resting:
    """A pending order of the opening book; its id is its place in the list, from 1."""

    account_id: int
    order_type: OrderType
    price: int
    stop_loss: int | None = None
    take_profit: int | None = None
    volume: int = 100


async def open_small_book(dsn: str, accounts: int, resting: Sequence[Resting] = ()) -> None:
    """Migrate an empty database and open a book in it."""
    await apply_migrations(dsn)
    desk = Desk()
    desk.set_symbol(EURUSD)
    settings = (terms_of("plain", 0), terms_of("gold", 7, "3.50"))
    for group in (PLAIN, GOLD):
        desk.set_group(group)
    for terms in settings:
        desk.set_terms(terms)
    openings = [
        OpeningAccount(number, UserType.LIVE, "plain")
        if number % 2
        else OpeningAccount(number, UserType.DEMO, "gold")
        for number in range(1, accounts + 1)
    ]
    connection = await asyncpg.connect(dsn)
    try:
        orders = _orders(desk, resting)
        book = Opening([EURUSD], [PLAIN, GOLD], settings, openings, orders)
        await open_book(connection, book, 1)
    finally:
        await connection.close()


def _orders(desk: Desk, resting: Sequence[Resting]) -> list[OrderState]:
    states = []
    for number, one in enumerate(resting, start=1):
        group = PLAIN if one.account_id % 2 else GOLD
        account = Account(one.account_id, UserType.LIVE, group, Decimal(100), BALANCE)
        order = Order(
            number,
            account,
            desk.terms[group.name, SYMBOL],
            one.order_type,
            one.volume,
            one.price,
            one.stop_loss,
            one.take_profit,
            None,
            1,
        )
        desk.set_triggers(order)
        states.append(order_state(order, None))
    return states


class Shard:
    """One process's part: engine, writer, leadership, sweeps, administration."""

    def __init__(
        self, dsn: str, holder: str, lease_life_s: float, accounts: AccountShard = ALL_ACCOUNTS
    ) -> None:
        self.instruments = Instruments()
        self.database = Database(dsn, self.instruments)
        self.reader = Reader(self.database, lambda: self.trading.symbols())
        engine = Engine(Desk(accounts), GUARD)
        self.trading = Trading(self.database, self.reader, self.instruments, engine)
        self.leadership = Leadership(
            self.database, self.trading, Rules(holder, GUARD, lease_life_s, shard=accounts)
        )
        self.sweeps = Sweeps(self.database, self.trading, self.instruments)
        self.bus = MemoryBus(accounts.of)
        self.bus.serve(accounts, Intake(self.trading, self.reader), self.trading.on_quote)
        self.administration = Administration(self.bus, SettingsVersions(self.database))

    @property
    def desk(self) -> Desk:
        return self.trading.desk

    def quote(self, bid: int, ask: int | None = None) -> None:
        """Let EURUSD be quoted now, prices in points; the spread is 10 unless given."""
        now = time.time_ns()
        refusal = self.trading.on_quote_at(Quote(SYMBOL, bid, ask or bid + 10, now), now)
        assert refusal is None

    async def place(
        self,
        account_id: int,
        order_type: OrderType = OrderType.BUY,
        price: int | None = None,
        *,
        key: str | None = None,
        **changes: Any,
    ) -> EventView:
        """Place an order of 0.01 lot and wait for its answer."""
        command = PlaceOrder(account_id, SYMBOL, order_type, 100, price, **changes)

        def decide(commands: CommandDesk, now: int) -> Decision:
            return commands.place(command, now)

        return await self.trading.command(account_id, key, decide)

    async def fund(self, account_id: int, amount: str, *, key: str | None = None) -> EventView:
        def decide(commands: CommandDesk, now: int) -> Decision:
            return commands.fund(account_id, Decimal(amount), now)

        return await self.trading.command(account_id, key, decide)

    def decisions(self, outcome: str) -> float:
        """Return the count of decisions: committed, failed, withdrawn or fenced."""
        return self.instruments.metrics.counter(catalogue.DECISIONS).child(outcome).value

    async def drained(self, timeout_s: float = 30.0) -> None:
        async with asyncio.timeout(timeout_s):
            await self.trading.drained()

    def memory(self) -> tuple[dict[int, object], dict[int, OrderState]]:
        return memory_of(self.desk)


def memory_of(desk: Desk) -> tuple[dict[int, object], dict[int, OrderState]]:
    """Return accounts and live orders as comparable values."""
    accounts: dict[int, object] = {
        a.account_id: (a.group, a.leverage, a.balance, a.sequence, a.margin)
        for a in desk.accounts.values()
    }
    return accounts, {o.order_id: order_state(o, None) for o in desk.orders.values()}


@asynccontextmanager
async def trading_shard(
    dsn: str,
    *,
    holder: str = "one",
    lease_life_s: float = 10.0,
    lead: bool = True,
    accounts: AccountShard = ALL_ACCOUNTS,
) -> AsyncIterator[Shard]:
    """Run a shard; with `lead` it trades when the block begins. Crashes of it fail the test."""
    shard = Shard(dsn, holder, lease_life_s, accounts)
    running = asyncio.create_task(shard.leadership.run())
    try:
        if lead:
            gained = asyncio.create_task(shard.leadership.gained())
            await asyncio.wait((gained, running), return_when=asyncio.FIRST_COMPLETED, timeout=30)
            gained.cancel()
        yield shard
    finally:
        running.cancel()
        try:
            await running
        except asyncio.CancelledError:
            pass
        finally:
            await shard.database.close()


def opened(shard: Shard) -> list[int]:
    """Return the ids of the open positions in memory."""
    return sorted(o.order_id for o in shard.desk.orders.values() if o.status is OrderStatus.OPEN)
