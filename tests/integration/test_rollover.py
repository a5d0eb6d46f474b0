"""The rollover, live: each position is charged once a night, whatever happens in between."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from service.domain.commands import CommandDesk
from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.market import Rate
from service.domain.order import Order, OrderType
from service.domain.quote import Quote
from service.domain.swap import charge_swap, last_rollover, next_rollover
from service.loops import rollover as module
from service.loops.expiry import Expiry
from service.loops.requests import Author
from service.loops.rollover import Rollover, RolloverFailed
from telemetry import catalogue
from tests.adversity.book import check_book, execute, fetch
from tests.adversity.shard import EURUSD, SYMBOL, Shard, open_small_book, terms_of, trading_shard

ADMIN = Author("admin", "test")
NOW = time.time_ns()
FIRST = next_rollover(NOW + 60 * 10**9)
SECOND = next_rollover(FIRST)
THIRD = next_rollover(SECOND)
# 0.01 lot of 100,000 EUR at -7.5 points of 0.00001 a night, and at 2.5, rounded half even.
LONG, SHORT = Decimal("-0.08"), Decimal("0.02")
SWAPS = "SELECT order_id, amount FROM ledger WHERE kind = 'SWAP' ORDER BY entry_id"


async def prepare(shard: Shard) -> None:
    """Let both groups pay swaps, one night on every day."""
    shard.quote(110_000)
    await shard.administration.set_symbol(replace(EURUSD, triple_swap_weekday=None), ADMIN)
    for group, markup in (("plain", 0), ("gold", 7)):
        terms = replace(
            terms_of(group, markup), swap_long=Decimal("-7.5"), swap_short=Decimal("2.5")
        )
        await shard.administration.set_terms(terms, ADMIN)
    await rollover_of(shard, NOW).run_once()  # as a second after the start


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    """A shard with a long and a short position, live and demo."""
    await open_small_book(postgres_dsn, 4)
    async with trading_shard(postgres_dsn) as shard:
        await prepare(shard)
        for account, order_type in ((1, OrderType.BUY), (2, OrderType.SELL)):
            await shard.place(account, order_type)
        yield shard


def rollover_of(shard: Shard, now: int) -> Rollover:
    return Rollover(shard.trading, lambda: now)


async def roll_over(shard: Shard, now: int) -> int:
    posted = await rollover_of(shard, now).run_once()
    await shard.drained()
    return posted


async def swaps(shard: Shard) -> list[tuple[int, Decimal]]:
    await shard.drained()
    return await fetch(shard.database.dsn, SWAPS)


async def rolled_until(shard: Shard) -> int:
    [(until,)] = await fetch(shard.database.dsn, "SELECT rolled_until FROM shard_leases")
    return int(until)


async def close(shard: Shard, account_id: int, order_id: int) -> None:
    def decide(commands: CommandDesk, now: int) -> Decision:
        return commands.close(account_id, order_id, now)

    await shard.trading.command(account_id, None, decide)


async def test_a_night_is_charged_once_live_and_demo_alike(shard: Shard) -> None:
    assert await rolled_until(shard) == last_rollover(NOW)
    assert await roll_over(shard, FIRST - 1) == 0
    assert await roll_over(shard, FIRST) == 2
    assert await swaps(shard) == [(1, LONG), (2, SHORT)]
    for later in (FIRST, FIRST + 1, SECOND - 1):
        assert await roll_over(shard, later) == 0
    assert await rolled_until(shard) == FIRST
    stored = await fetch(
        shard.database.dsn, "SELECT swap, swapped_until FROM orders ORDER BY order_id"
    )
    assert stored == [(LONG, FIRST), (SHORT, FIRST)]
    kinds = await fetch(
        shard.database.dsn,
        "SELECT payload::json ->> 'kind' FROM outbox WHERE sequence = 2 ORDER BY account_id",
    )
    assert kinds == [("SWAP_CHARGED",), ("SWAP_CHARGED",)]
    counted = shard.instruments.metrics.counter(catalogue.SWAPS_CHARGED).child()
    assert counted.value == 2
    assert await roll_over(shard, SECOND) == 2
    assert await swaps(shard) == [(1, LONG), (2, SHORT)] * 2
    await check_book(shard.database.dsn, shard)


async def test_missed_nights_are_made_up_in_one_sum(shard: Shard) -> None:
    assert await roll_over(shard, THIRD) == 2
    assert await swaps(shard) == [(1, 3 * LONG), (2, 3 * SHORT)]
    assert await rolled_until(shard) == THIRD


async def test_who_closes_before_it_was_charged_pays_with_the_closing(shard: Shard) -> None:
    shard.trading.mark_rollover(FIRST)
    await close(shard, 1, 1)
    kinds = await fetch(
        shard.database.dsn, "SELECT kind FROM ledger WHERE order_id = 1 ORDER BY entry_id"
    )
    assert kinds == [("SWAP",), ("PROFIT",)]
    assert await roll_over(shard, FIRST) == 1
    assert await swaps(shard) == [(1, LONG), (2, SHORT)]
    await check_book(shard.database.dsn, shard)


async def test_the_first_tick_after_a_rollover_closes_nobody_before_the_swap(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shard.place(3, OrderType.BUY, stop_loss=109_500)
    monkeypatch.setattr(time, "time_ns", lambda: FIRST)
    shard.trading.on_quote(Quote(SYMBOL, 109_000, 109_010, FIRST))
    assert 3 not in shard.desk.orders
    assert await swaps(shard) == [(3, LONG)]
    assert await roll_over(shard, FIRST) == 2


async def test_a_restart_in_the_middle_charges_the_rest(postgres_dsn: str) -> None:
    await open_small_book(postgres_dsn, 4)
    async with trading_shard(postgres_dsn) as shard:
        await prepare(shard)
        for account in (1, 2, 3, 4):
            await shard.place(account)
        shard.trading.mark_rollover(FIRST)
        for order_id in (1, 2):
            rollover_of(shard, FIRST)._charge(shard.desk, shard.desk.orders[order_id], {})
        await shard.drained()
        assert await rolled_until(shard) == last_rollover(NOW)
    # Killed here.
    await execute(postgres_dsn, "UPDATE shard_leases SET expires_at = now()")
    async with trading_shard(postgres_dsn, holder="two") as shard:
        shard.quote(110_000)
        assert await roll_over(shard, FIRST + 1) == 2
        assert await swaps(shard) == [(number, LONG) for number in (1, 2, 3, 4)]
        assert await rolled_until(shard) == FIRST
        await check_book(postgres_dsn, shard)
    await execute(postgres_dsn, "UPDATE shard_leases SET expires_at = now()")
    async with trading_shard(postgres_dsn, holder="three") as shard:
        shard.quote(110_000)
        assert shard.desk.rolled_until == FIRST
        assert await roll_over(shard, FIRST + 2) == 0


async def test_the_first_start_owes_nothing_for_the_time_before(postgres_dsn: str) -> None:
    await open_small_book(postgres_dsn, 2)
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        await shard.place(1)
    await execute(
        postgres_dsn,
        "UPDATE orders SET open_time = 1",
        "UPDATE shard_leases SET expires_at = now(), rolled_until = NULL",
        "UPDATE group_symbols SET swap_long = -7.5",
        "UPDATE symbols SET triple_swap_weekday = NULL",
    )
    async with trading_shard(postgres_dsn, holder="two") as shard:
        shard.quote(110_000)
        assert await roll_over(shard, NOW) == 0
        assert await rolled_until(shard) == last_rollover(NOW)
        assert await roll_over(shard, FIRST) == 1
        assert await swaps(shard) == [(1, LONG)]


async def test_who_has_no_rate_goes_on_owing(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    owed = shard.instruments.metrics.gauge(catalogue.SWAPS_OWED).child()
    with monkeypatch.context() as without_rate:
        without_rate.setattr(Rate, "gain", lambda *_: None)
        assert await roll_over(shard, FIRST) == 0
        assert await roll_over(shard, FIRST + 1) == 0
        assert owed.read is not None
        assert owed.read() == 2
        assert await rolled_until(shard) == last_rollover(NOW)
    assert await roll_over(shard, SECOND) == 2
    assert owed.read() == 0
    assert await swaps(shard) == [(1, 2 * LONG), (2, 2 * SHORT)]
    assert await rolled_until(shard) == SECOND


async def test_a_position_that_cannot_be_charged_poisons_no_other(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_for_the_first(desk: Desk, order: Order) -> Any:
        if order.order_id == 1:
            order.account.sequence += 1
            order.swap = Decimal(1)
            raise RuntimeError("planted")
        return charge_swap(desk, order)

    monkeypatch.setattr(module, "charge_swap", fail_for_the_first)
    with pytest.raises(RolloverFailed, match="1 accounts"):
        await roll_over(shard, FIRST)
    monkeypatch.undo()
    assert await swaps(shard) == [(2, SHORT)]
    assert await rolled_until(shard) == last_rollover(NOW)
    assert await roll_over(shard, FIRST) == 1
    assert await swaps(shard) == [(2, SHORT), (1, LONG)]
    await check_book(shard.database.dsn, shard)


async def test_it_waits_for_a_writer_that_is_behind(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BACKLOG", -1)
    assert await roll_over(shard, FIRST) == 0
    monkeypatch.undo()
    monkeypatch.setattr(module, "SLICE", 1)
    assert await roll_over(shard, FIRST) == 2
    assert await rolled_until(shard) == FIRST


# Expiry, the other loop that only the clock drives


async def test_orders_expire_without_quotes(shard: Shard) -> None:
    expires_at = time.time_ns() + 10**12
    await shard.place(1, OrderType.BUY_LIMIT, 109_000, expires_at=expires_at)
    await shard.place(2, OrderType.BUY_LIMIT, 109_000, expires_at=expires_at + 1)
    await shard.place(3, OrderType.BUY_LIMIT, 109_000)
    for now, expired in ((expires_at - 1, 0), (expires_at, 1), (expires_at, 0), (2**62, 1)):
        assert await Expiry(shard.trading, lambda: now).run_once() == expired  # noqa: B023
    await shard.drained()
    told = await fetch(
        shard.database.dsn,
        "SELECT account_id, reason, time FROM deals WHERE event = 'CANCEL' ORDER BY deal_id",
    )
    assert told == [(1, "EXPIRED", expires_at), (2, "EXPIRED", 2**62)]
    await check_book(shard.database.dsn, shard)


async def test_an_engine_that_fails_at_expiry_starts_trading_over(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(now: int) -> Any:
        raise RuntimeError("planted")

    monkeypatch.setattr(shard.trading.engine, "expire", fail)
    with pytest.raises(RuntimeError, match="planted"):
        await Expiry(shard.trading).run_once()
    assert not shard.trading.is_leading
