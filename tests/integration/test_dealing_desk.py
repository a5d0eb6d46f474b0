"""The kill switch, deal corrections and the audit, stored with what they did."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import asyncpg
import pytest

from service.domain.commands import CommandDesk
from service.domain.corrections import CorrectDeal
from service.domain.decision import Audit, Decision
from service.domain.instructions import PlaceOrder
from service.domain.instrument import TradingState, UserType
from service.domain.order import OrderType
from service.domain.rejection import RejectCode, Rejected
from service.domain.sessions import parse_sessions
from service.loops.answers import Withdrawn
from service.loops.requests import Author
from service.storage.views import EventView
from tests.adversity.book import check_book, execute, fetch
from tests.adversity.shard import (
    EURUSD,
    GOLD,
    SYMBOL,
    Resting,
    Shard,
    open_small_book,
    opened,
    terms_of,
    trading_shard,
)

AUTHOR = Author("7", "bad ticks")
LIVE, COMMISSIONED = 1, 2  # accounts of the groups plain and gold, which pays 3.50 a lot and side


@pytest.fixture
async def shard(postgres_dsn: str) -> AsyncIterator[Shard]:
    await open_small_book(
        postgres_dsn, 3, [Resting(LIVE, OrderType.BUY_LIMIT, 109_500, stop_loss=109_000)]
    )
    async with trading_shard(postgres_dsn) as shard:
        shard.quote(110_000)
        yield shard


async def audited(shard: Shard) -> list[tuple[object, ...]]:
    """Return the audit, oldest first: actor, action, target, reason, before, after."""
    entries = await shard.reader.audit(100)
    return [
        (each.actor, each.action, each.target, each.reason, each.before, each.after)
        for each in reversed(entries)
    ]


async def close(shard: Shard, order: EventView, volume: int | None = None) -> EventView:
    assert order.order is not None
    account_id, order_id = order.account_id, order.order.order_id

    def decide(commands: CommandDesk, now: int) -> Decision:
        return commands.close(account_id, order_id, now, None, volume)

    return await shard.trading.command(account_id, None, decide)


async def correct(shard: Shard, event: EventView, key: str | None = None) -> EventView:
    """Take back the deal of an event, as it is stored."""
    assert event.deal is not None
    dealt = await shard.reader.dealt(event.deal.deal_id)
    assert dealt is not None
    command = CorrectDeal(dealt.deal_id, dealt.deal, dealt.order, dealt.postings)
    audit = Audit("7", "correct_deal", f"deal {dealt.deal_id}", "bad ticks")

    def decide(commands: CommandDesk, now: int) -> Decision:
        return commands.correct(command, now, key, audit)

    return await shard.trading.command(event.account_id, key, decide)


# Kill switch


async def test_a_halt_waits_and_survives_a_restart(shard: Shard, postgres_dsn: str) -> None:
    await shard.administration.set_symbol_state(SYMBOL, TradingState.HALTED, AUTHOR)
    assert await audited(shard) == [
        (
            "7",
            "set_trading_state",
            f"symbol {SYMBOL}",
            "bad ticks",
            {"trading_state": "active"},
            {"trading_state": "halted"},
        )
    ]
    shard.quote(109_400)
    await shard.drained()
    assert opened(shard) == []
    async with trading_shard(postgres_dsn) as again:  # the same holder takes over
        again.quote(109_400)
        await again.drained()
        assert opened(again) == []
        with pytest.raises(Rejected) as refused:
            await again.place(LIVE)
        assert refused.value.code is RejectCode.TRADING_HALTED
        await again.administration.set_symbol_state(SYMBOL, TradingState.ACTIVE, AUTHOR)
        again.quote(109_400)
        await again.drained()
        assert opened(again) == [1]
        await check_book(postgres_dsn, again)


async def test_a_halted_group_leaves_the_others_alone(shard: Shard) -> None:
    await shard.administration.set_group_state("plain", TradingState.HALTED, AUTHOR)
    with pytest.raises(Rejected):
        await shard.place(LIVE)
    await shard.place(COMMISSIONED)
    stored = await fetch(shard.database.dsn, "SELECT group_name, trading_state FROM groups")
    assert sorted(stored) == [("gold", "active"), ("plain", "halted")]
    await check_book(shard.database.dsn, shard)


async def test_what_cannot_be_switched_changes_nothing(shard: Shard) -> None:
    administration = shard.administration
    for switching, code in (
        (administration.set_symbol_state("NONE", TradingState.HALTED, AUTHOR), "UNKNOWN_SYMBOL"),
        (administration.set_group_state("none", TradingState.HALTED, AUTHOR), "UNKNOWN_GROUP"),
    ):
        with pytest.raises(Rejected) as refused:
            await switching
        assert refused.value.code == code
    assert await audited(shard) == []


# Audit


async def test_every_change_is_audited_with_what_it_changed(shard: Shard) -> None:
    administration = shard.administration
    sessions = parse_sessions("Europe/London: Mon-Sun 00:00-24:00")
    await administration.set_symbol(replace(EURUSD, max_jump_points=50, sessions=sessions), AUTHOR)
    await administration.set_group(replace(GOLD, margin_call_hysteresis=Decimal(8)), Author("8"))
    await administration.set_terms(terms_of("gold", 7, "3.50"), Author("8"))
    await administration.create_account(
        99, UserType.LIVE, "gold", Decimal(30), Decimal("500.00"), AUTHOR
    )
    assert await audited(shard) == [
        (
            "7",
            "set_symbol",
            f"symbol {SYMBOL}",
            "bad ticks",
            {"max_jump_points": None, "sessions": None},
            {"max_jump_points": 50, "sessions": str(sessions)},
        ),
        (
            *("8", "set_group", "group gold", ""),
            {"margin_call_hysteresis": "5"},
            {"margin_call_hysteresis": "8"},
        ),
        ("8", "set_terms", f"group gold on {SYMBOL}", "", {}, {}),
        (
            *("7", "create_account", "account 99", "bad ticks", None),
            {"user_type": "live", "group": "gold", "leverage": "30", "balance": "500.00"},
        ),
    ]


async def test_what_is_decided_for_others_is_audited_with_what_it_changed(shard: Shard) -> None:
    audit = Audit("7", "deposit", "account 1", "a goodwill")
    await shard.trading.command(
        LIVE, None, lambda desk, now: desk.fund(LIVE, Decimal("9.50"), now)._replace(audit=audit)
    )
    bigger = await _place_lots(shard, 300)
    shard.quote(110_100)
    before = shard.desk.accounts[COMMISSIONED].balance
    part = await close(shard, bigger, 100)
    await correct(shard, part)
    closed = await close(shard, bigger)
    back = await correct(shard, closed)
    assert bigger.order is not None
    assert part.order is not None
    order_id = bigger.order.order_id
    assert [entry[4:] for entry in await audited(shard)] == [
        ({"balance": "1000000.00"}, {"balance": "1000009.50"}),
        (
            {**_order(order_id, "OPEN"), "volume": "0.02", "balance": part.balance},
            {**_order(order_id, "OPEN"), "volume": "0.03", "balance": str(before)},
        ),
        (
            {**_order(order_id, "CLOSED"), "balance": closed.balance},
            {**_order(order_id, "OPEN"), "balance": back.balance},
        ),
    ]


def _order(order_id: int, status: str) -> dict[str, object]:
    return {"order_id": order_id, "status": status}


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET reason = 'none'", "DELETE FROM audit", "TRUNCATE audit"],
)
async def test_the_audit_is_never_changed(shard: Shard, statement: str) -> None:
    """Not even by the owner of the database."""
    await shard.administration.set_group_state("plain", TradingState.HALTED, AUTHOR)
    before = await audited(shard)
    with pytest.raises(asyncpg.PostgresError, match="the audit is only added to"):
        await execute(shard.database.dsn, statement)
    assert await audited(shard) == before


async def test_a_change_that_is_not_stored_leaves_no_entry(shard: Shard) -> None:
    await execute(
        shard.database.dsn, "ALTER TABLE groups ADD CONSTRAINT planted CHECK (stop_out_level < 60)"
    )
    with pytest.raises(Withdrawn):
        await shard.administration.set_group(replace(GOLD, stop_out_level=Decimal(70)), AUTHOR)
    assert await audited(shard) == []


async def test_the_audit_is_paged_newest_first(shard: Shard) -> None:
    for state in (TradingState.HALTED, TradingState.CLOSE_ONLY, TradingState.ACTIVE):
        await shard.administration.set_symbol_state(SYMBOL, state, AUTHOR)
    first = await shard.reader.audit(2)
    assert len(first) == 2
    rest = await shard.reader.audit(2, first[-1].audit_id)
    ids = [entry.audit_id for entry in (*first, *rest)]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 3


# Corrections


async def test_a_corrected_close_takes_back_every_entry_of_it(shard: Shard) -> None:
    order = await shard.place(COMMISSIONED, stop_loss=109_000, take_profit=112_000)
    before = order.balance
    shard.quote(108_900)
    await shard.drained()
    [closed, *_] = await shard.reader.deals(COMMISSIONED, 1)
    assert (closed.event, closed.reason) == ("CLOSE", "STOP_LOSS")
    taken_back = await correct(
        shard, EventView(COMMISSIONED, 0, order.kind, "", "", None, closed), "once"
    )
    assert taken_back.balance == before
    assert taken_back.order is not None
    assert (taken_back.order.status, taken_back.order.stop_loss) == ("OPEN", "1.09000")
    assert order.order is not None
    assert taken_back.order.commission == order.order.commission
    [entry] = await shard.reader.audit(10)
    assert taken_back.deal is not None
    assert (entry.decision_id, entry.actor) == (taken_back.deal.deal_id, "7")
    stored = await shard.reader.dealt(closed.deal_id)
    assert stored is not None
    assert stored.corrected_by == taken_back.deal.deal_id
    ledger = await shard.reader.ledger(COMMISSIONED, 10)
    profit, commission = Decimal(closed.profit), Decimal(closed.commission)
    assert [(e.kind, Decimal(e.amount)) for e in ledger[:4]] == [
        ("CORRECTION", commission),
        ("CORRECTION", -profit),
        ("COMMISSION", -commission),
        ("PROFIT", profit),
    ]
    await check_book(shard.database.dsn, shard)
    shard.quote(112_100)
    await shard.drained()
    assert order.order.order_id not in opened(shard), "it is a position like any other again"
    await check_book(shard.database.dsn, shard)


async def test_a_corrected_part_joins_the_rest(shard: Shard) -> None:
    order = await shard.place(COMMISSIONED)
    full = await shard.place(COMMISSIONED)
    await close(shard, full)
    bigger = await _place_lots(shard, 300)
    part = await close(shard, bigger, 100)
    assert part.order is not None
    assert part.order.volume == "0.02"
    back = await correct(shard, part)
    assert back.order is not None
    assert bigger.order is not None
    assert (back.order.volume, back.order.margin) == (bigger.order.volume, bigger.order.margin)
    assert back.balance == bigger.balance
    await check_book(shard.database.dsn, shard)
    assert order.order is not None
    assert opened(shard) == [order.order.order_id, bigger.order.order_id]


async def _place_lots(shard: Shard, volume: int) -> EventView:
    command = PlaceOrder(COMMISSIONED, SYMBOL, OrderType.BUY, volume)

    def decide(commands: CommandDesk, now: int) -> Decision:
        return commands.place(command, now)

    return await shard.trading.command(COMMISSIONED, None, decide)


async def test_a_corrected_opening_never_was(shard: Shard) -> None:
    before = shard.desk.accounts[COMMISSIONED].balance
    order = await shard.place(COMMISSIONED)
    back = await correct(shard, order)
    assert Decimal(back.balance) == before
    assert back.order is not None
    assert (back.order.status, back.order.reason) == ("CANCELLED", "CORRECTED")
    assert opened(shard) == []
    await check_book(shard.database.dsn, shard)


async def test_two_corrections_of_a_deal_at_once_are_one(shard: Shard) -> None:
    """Both read it as not corrected: one of them is let through."""
    bigger = await _place_lots(shard, 300)
    part = await close(shard, bigger, 100)
    await close(shard, bigger, 100)
    assert part.deal is not None
    dealt = await shard.reader.dealt(part.deal.deal_id)
    assert dealt is not None
    await correct(shard, part)
    command = CorrectDeal(dealt.deal_id, dealt.deal, dealt.order, dealt.postings)
    audit = Audit("7", "correct_deal", "again", "again")
    with pytest.raises(Rejected, match="has just changed"):
        await shard.trading.command(
            COMMISSIONED, None, lambda desk, now: desk.correct(command, now, None, audit)
        )
    assert len(await shard.reader.audit(10)) == 1
    await check_book(shard.database.dsn, shard)


async def test_what_is_no_deal_is_none(shard: Shard) -> None:
    assert await shard.reader.dealt(10_000) is None
