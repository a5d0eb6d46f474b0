"""Reconciliation: what memory holds otherwise than the database is found, counted and repaired."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from service.domain.commands import CommandDesk
from service.domain.decision import Decision
from service.domain.instructions import ModifyOrder
from service.domain.order import Order, OrderStatus, OrderType
from service.domain.rejection import Rejected
from service.loops import reconciliation as module
from service.loops.reconciliation import Reconciliation, ReconciliationFailed
from service.loops.requests import Author
from service.storage.differences import find_differences
from service.verify.fault import Rule
from telemetry import catalogue, vocabulary
from tests.adversity.book import check_book, execute, locked_out
from tests.adversity.shard import Shard, open_small_book, terms_of, trading_shard

ADMIN = Author("admin", "test")
BROKEN_BY_HAND = (
    Rule.DEALS_OF_ORDER,
    Rule.FILL,
    Rule.ORDER_MONEY,
    Rule.ORDER_SWAP,
    Rule.TRIGGER,
)
HOUR_NS = 3600 * 10**9
PENDING, POSITION, STOP_LIMIT, DEMO = 1, 2, 3, 4  # order ids


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    """A shard with a pending order, a position, a stop-limit, and an order of a demo account."""
    await open_small_book(postgres_dsn, 6)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        await shard.place(1, OrderType.BUY_LIMIT, 109_000, stop_loss=108_000)
        await shard.place(3, OrderType.BUY, stop_loss=108_000, trailing_distance=2_500)
        await shard.place(
            3,
            OrderType.SELL_STOP_LIMIT,
            109_000,
            limit_price=109_500,
            expires_at=time.time_ns() + HOUR_NS,
        )
        await shard.place(4, OrderType.SELL_LIMIT, 111_000)
        yield shard


def reconciliation_of(shard: Shard) -> Reconciliation:
    return Reconciliation(shard.database, shard.trading, shard.instruments)


def reconciled(shard: Shard) -> dict[str, int]:
    """Return the metric by kind, where it is not zero."""
    family = shard.instruments.metrics.counter(catalogue.RECONCILED_ORDERS)
    kinds = vocabulary.RECONCILED
    return {kind: int(family.child(kind).value) for kind in kinds if family.child(kind).value}


async def repaired(shard: Shard) -> dict[str, int]:
    """Go round once, check that memory is the truth again, and return what was found by kind."""
    reconciliation = reconciliation_of(shard)
    found = await reconciliation.run_lap()
    await shard.drained()
    assert sum(reconciled(shard).values()) == found
    assert await reconciliation.run_lap() == 0
    await check_book(shard.database.dsn, shard, but=BROKEN_BY_HAND)
    return reconciled(shard)


async def test_a_healthy_shard_has_no_differences(shard: Shard) -> None:
    assert await repaired(shard) == {}


@pytest.mark.parametrize(
    ("order_id", "change"),
    [
        (PENDING, "volume = 200"),
        (PENDING, "price = 109001"),
        (PENDING, "trigger_price = 108000"),
        (PENDING, "stop_loss = 107999"),
        (PENDING, "take_profit = 112000"),
        (PENDING, "expires_at = 9000000000000000000"),
        (POSITION, "stop_loss_trigger = 107000, stop_loss = 107000"),
        (POSITION, "take_profit = 112000, take_profit_trigger = 112000"),
        (POSITION, "open_price = 100000"),
        (POSITION, "commission = 1"),
        (POSITION, "profit = 1"),
        (POSITION, "swap = -0.01"),
        (POSITION, "trailing_distance = NULL"),
        (STOP_LIMIT, "limit_price = 109400"),
        (STOP_LIMIT, "activated_time = 1, trigger_price = 109500"),
        (DEMO, "volume = 300"),
    ],
)
async def test_what_is_stored_otherwise_is_taken_over(
    order_id: int, change: str, shard: Shard
) -> None:
    await execute(shard.database.dsn, f"UPDATE orders SET {change} WHERE order_id = {order_id}")
    assert await repaired(shard) == {"differs": 1}


async def test_a_margin_is_taken_over_with_that_of_its_account(shard: Shard) -> None:
    await execute(
        shard.database.dsn,
        f"UPDATE orders SET margin = margin + 1 WHERE order_id = {POSITION}",
        "UPDATE accounts SET margin = margin + 1 WHERE account_id = 3",
    )
    assert await repaired(shard) == {"differs": 1, "account": 1}


async def test_an_order_that_memory_has_lost_is_found(shard: Shard) -> None:
    for order_id in (PENDING, POSITION):
        order = shard.desk.orders.pop(order_id)
        shard.desk.disarm(order)
        if order.status is OrderStatus.OPEN:
            shard.desk.remove_position(order)
    found = await repaired(shard)
    assert found == {"missing_in_memory": 2, "account": 1}  # and the margin of the position
    shard.quote(108_900)
    await shard.drained()
    assert shard.desk.orders[PENDING].status is OrderStatus.OPEN


async def test_an_order_that_the_database_has_not_is_forgotten(shard: Shard) -> None:
    await execute(
        shard.database.dsn,
        f"UPDATE orders SET status = 'CANCELLED', reason = 'CLIENT' WHERE order_id = {PENDING}",
        f"DELETE FROM orders WHERE order_id = {DEMO}",
    )
    assert await repaired(shard) == {"missing_in_database": 2}
    assert sorted(shard.desk.orders) == [POSITION, STOP_LIMIT]
    shard.quote(108_900)
    await shard.drained()
    await check_book(shard.database.dsn, shard, but=BROKEN_BY_HAND)


@pytest.mark.parametrize(
    "change", ["balance = balance + 0.01", "in_margin_call = true", "sequence = sequence + 1"]
)
async def test_an_account_that_is_stored_otherwise_is_taken_over(change: str, shard: Shard) -> None:
    await execute(shard.database.dsn, f"UPDATE accounts SET {change} WHERE account_id = 3")
    reconciliation = reconciliation_of(shard)
    assert await reconciliation.run_lap() == 1
    assert reconciled(shard) == {"account": 1}
    assert await reconciliation.run_lap() == 0


async def test_an_account_unknown_to_memory_is_loaded(shard: Shard) -> None:
    await execute(
        shard.database.dsn,
        "INSERT INTO accounts (account_id, user_type, group_name, leverage, balance) "
        "VALUES (1000, 'live', 'plain', 100, 0), (1001, 'demo', 'gold', 100, 0)",
    )
    assert await repaired(shard) == {"account": 2}
    assert shard.desk.accounts[1001].group.name == "gold"


async def test_an_account_that_cannot_be_loaded_poisons_no_other(shard: Shard) -> None:
    await execute(
        shard.database.dsn,
        "DELETE FROM accounts WHERE account_id = 5",  # it has no orders, and is not stored
        "UPDATE orders SET volume = 200 WHERE account_id = 3 AND status = 'PENDING'",
    )
    reconciliation = reconciliation_of(shard)
    with pytest.raises(ReconciliationFailed, match="1 accounts"):
        await reconciliation.run_lap()
    assert reconciled(shard) == {"account": 1, "differs": 1}
    assert shard.desk.orders[STOP_LIMIT].volume == 200


async def test_an_account_whose_rules_raise_is_left_to_the_faults(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds is half changed: nothing of that is compared, nor stored by loading it anew."""

    def fail(_: Order) -> Any:
        raise RuntimeError("planted")

    monkeypatch.setattr("service.domain.judgement.price_opening", fail)
    shard.quote(108_900)
    assert list(shard.desk.faults) == [1]
    assert shard.desk.orders[PENDING].trigger is None
    assert await reconciliation_of(shard).run_lap() == 0
    assert await shard.trading.reload_account(1)
    assert list(shard.desk.faults) == [1], "the order has raised again"
    await shard.drained()
    assert shard.trading.is_leading
    monkeypatch.undo()
    assert await shard.trading.reload_account(1)
    await shard.drained()
    assert shard.desk.orders[PENDING].status is OrderStatus.OPEN
    assert await repaired(shard) == {}


# What is on its way


async def test_who_leads_no_longer_compares_nothing(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has taken over stores what this memory cannot know."""
    await execute(shard.database.dsn, "UPDATE accounts SET balance = balance + 1")

    async def lose_the_lease_meanwhile(*arguments: Any) -> Any:
        found = await find_differences(*arguments)
        shard.trading.step_down()
        return found

    monkeypatch.setattr(module, "find_differences", lose_the_lease_meanwhile)
    assert await reconciliation_of(shard).run_once() == 0
    assert reconciled(shard) == {}


async def test_what_is_in_flight_is_left_alone(shard: Shard) -> None:
    dsn = shard.database.dsn
    async with shard.database.read("load") as connection, connection.transaction():
        await connection.execute("SELECT FROM shard_leases FOR UPDATE")
        shard.quote(108_900)
        await locked_out(dsn)
        assert shard.desk.orders[PENDING].status is OrderStatus.OPEN
        assert await reconciliation_of(shard).run_lap() == 0
    await shard.drained()
    assert await repaired(shard) == {}


async def test_settings_that_are_not_stored_yet_are_no_difference(shard: Shard) -> None:
    """A changed markup moves triggers in memory first, and no account moves on with them."""
    dsn = shard.database.dsn
    reconciliation = reconciliation_of(shard)
    async with shard.database.read("load") as connection, connection.transaction():
        await connection.execute("SELECT FROM shard_leases FOR UPDATE")
        changing = asyncio.create_task(shard.administration.set_terms(terms_of("plain", 40), ADMIN))
        await locked_out(dsn)
        assert await reconciliation.run_once() == 0
    await changing
    assert await repaired(shard) == {}


async def test_an_account_in_flight_is_not_loaded_over(shard: Shard) -> None:
    """Reloading waits until what was decided is stored, and starts over if more was."""
    dsn = shard.database.dsn
    before = shard.desk.accounts[1]
    async with shard.database.read("load") as connection, connection.transaction():
        await connection.execute("SELECT FROM shard_leases FOR UPDATE")
        shard.quote(108_900)
        reloading = asyncio.create_task(shard.trading.reload_account(1))
        await locked_out(dsn)
        assert shard.desk.accounts[1] is before
    assert await reloading is True
    assert shard.desk.accounts[1] is not before
    assert shard.desk.orders[PENDING].status is OrderStatus.OPEN
    await shard.drained()
    await check_book(dsn, shard)


# Going round


async def test_a_lap_goes_round_in_slices(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE_ACCOUNTS", 3)
    monkeypatch.setattr(module, "SLICE_ORDERS", 2)
    monkeypatch.setattr(module, "SLICES_PER_RUN", 1)
    await open_small_book(postgres_dsn, 20)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        for account in range(1, 21):
            for price in range(109_000, 109_000 + account % 4):
                await shard.place(account, OrderType.BUY_LIMIT, price)
        await execute(postgres_dsn, "UPDATE orders SET volume = 200")
        reconciliation = reconciliation_of(shard)
        runs = 0
        while reconciled(shard) != {"differs": 30}:
            assert await reconciliation.run_once() <= 2 * 4
            runs += 1
        assert runs > 4
        await shard.drained()
        await check_book(postgres_dsn, shard)


class Crowd:
    """Clients who do whatever comes to their mind."""

    def __init__(self, shard: Shard, seed: int) -> None:
        self.shard = shard
        self.chance = random.Random(seed)
        self.bid = 110_000

    async def act(self) -> None:
        chance, shard = self.chance, self.shard
        self.bid += chance.randint(-300, 300)
        shard.quote(self.bid)
        acts = [self._place, self._place, self._fund]
        if shard.desk.orders:
            acts += [self._modify, self._close]
        with contextlib.suppress(Rejected):
            await chance.choice(acts)()
        if chance.random() < 0.05:
            group = chance.choice(("plain", "gold"))
            await shard.administration.set_terms(terms_of(group, chance.randint(0, 40)), ADMIN)

    async def _place(self) -> None:
        chance = self.chance
        order_type = chance.choice(list(OrderType))
        up = 1 if order_type in ("BUY_STOP", "BUY_STOP_LIMIT", "SELL_LIMIT") else -1
        price = None if order_type in ("BUY", "SELL") else self.bid + up * chance.randint(60, 400)
        is_buy = order_type.is_buy
        changes: dict[str, Any] = {}
        if price is not None and "STOP_LIMIT" in order_type:
            changes["limit_price"] = price - up * chance.randint(1, 100)
        if price is not None and chance.random() < 0.3:
            changes["expires_at"] = time.time_ns() + chance.choice((10**8, HOUR_NS))
        if chance.random() < 0.5:
            changes["stop_loss"] = self.bid + (-900 if is_buy else 900)
            changes["take_profit"] = self.bid + (900 if is_buy else -900)
        if chance.random() < 0.3:
            changes["trailing_distance"] = chance.randint(50, 500)
        await self.shard.place(chance.randint(1, 6), order_type, price, **changes)

    async def _modify(self) -> None:
        def modify(commands: CommandDesk, now: int) -> Decision:
            distance = self.chance.choice((None, 200))
            names = frozenset({"take_profit", "trailing_distance"})
            command = ModifyOrder(
                account_id, order_id, names, None, None, None, None, None, distance, None
            )
            return commands.modify(command, now)

        account_id, order_id = self._pick()
        await self.shard.trading.command(account_id, None, modify)

    async def _close(self) -> None:
        def close(commands: CommandDesk, now: int) -> Decision:
            if self.shard.desk.orders[order_id].status is OrderStatus.PENDING:
                return commands.cancel(account_id, order_id, now)
            return commands.close(account_id, order_id, now)

        account_id, order_id = self._pick()
        await self.shard.trading.command(account_id, None, close)

    async def _fund(self) -> None:
        amount = Decimal(self.chance.randint(-5_000, 5_000) or 1) / 100
        await self.shard.fund(self.chance.randint(1, 6), str(amount))

    def _pick(self) -> tuple[int, int]:
        order = self.chance.choice(list(self.shard.desk.orders.values()))
        return order.account.account_id, order.order_id


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_healthy_shard_has_none_whatever_its_clients_do(
    seed: int, postgres_dsn: str
) -> None:
    await open_small_book(postgres_dsn, 6)
    async with trading_shard(postgres_dsn) as shard:
        reconciliation = reconciliation_of(shard)
        crowd = Crowd(shard, seed)
        shard.quote(crowd.bid)
        await shard.place(1, OrderType.BUY_LIMIT, 100_000)

        async def trade() -> None:
            for _ in range(250):
                await crowd.act()

        async def watch() -> None:
            while not trading.done():
                await reconciliation.run_once()
                await shard.sweeps.run_once()

        trading = asyncio.create_task(trade())
        await asyncio.gather(trading, watch())
        await shard.drained()
        assert await reconciliation.run_lap() == 0
        assert reconciled(shard) == {}
        assert shard.sweeps.missed == 0
        assert shard.decisions("failed") == 0
        assert shard.decisions("committed") > 150
        await check_book(postgres_dsn, shard)
