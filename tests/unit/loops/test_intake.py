"""The intake of a shard answers what is asked of it, and what is another shard's not."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from service.domain.decision import Audit, EventKind
from service.domain.desk import Desk
from service.domain.instrument import TradingState, UserType
from service.domain.order import OrderType
from service.domain.rejection import RejectCode, Rejected
from service.domain.shard import AccountShard
from service.loops.answers import Unavailable
from service.loops.commands import Cancel, Command, Correct, Place, decide
from service.loops.intake import Decide, Intake
from service.loops.requests import (
    Author,
    ChangeSettings,
    CreateAccount,
    Done,
    Exposure,
    ListExposure,
    Request,
    SetGroup,
    SetGroupState,
    SetSymbol,
    SetSymbolState,
    SettingsStored,
    TakeCommand,
    Taken,
)
from service.storage.audit import AuditAction
from service.storage.dealt import Dealt
from service.storage.rows import group_row, symbol_row
from service.storage.settings_write import SettingsStatement
from service.storage.views import EventView, event_view
from tests.unit.domain.floor import LOT, Floor

AUTHOR = Author("admin", "a test")
AUDIT = Audit("admin", AuditAction.CORRECT_DEAL, "deal 1", "")
BUY = Place(symbol="EURUSD", order_type=OrderType.BUY, volume=Decimal("0.5"))


@dataclass
class Shell:
    """Decides at once and remembers keys; has dealt what it was given."""

    floor: Floor
    has_lease: bool = True
    leading: asyncio.Event = field(default_factory=asyncio.Event)
    deals: dict[int, Dealt] = field(default_factory=dict)
    answers: dict[str, EventView] = field(default_factory=dict)
    statements: list[SettingsStatement] = field(default_factory=list)

    @property
    def desk(self) -> Desk:
        return self.floor.desk

    async def command(self, account_id: int, key: str | None, decide: Decide) -> EventView:
        if key in self.answers:
            return self.answers[key]
        decision = decide(self.floor.commands, self.floor.now)
        event = event_view(decision, self.floor.desk.symbols)
        if key is not None:
            self.answers[key] = event
        return event

    async def change_settings(self, apply: Callable[[Desk], Sequence[SettingsStatement]]) -> None:
        self.statements += apply(self.desk)

    async def dealt(self, deal_id: int) -> Dealt | None:
        return self.deals.get(deal_id)


@pytest.fixture
def shell() -> Shell:
    floor = Floor()
    floor.tick("EURUSD", 108_490, 108_500)
    return Shell(floor)


@pytest.fixture
def intake(shell: Shell) -> Intake:
    return Intake(shell, shell)


async def take(intake: Intake, account_id: int, key: str | None, command: Command) -> Taken:
    taken = await intake.answer(TakeCommand(account_id, key, command))
    assert isinstance(taken, Taken)
    return taken


async def test_a_key_that_was_used_decides_nothing_more(intake: Intake, shell: Shell) -> None:
    first, again = [await take(intake, 1, "a key", BUY) for _ in range(2)]
    assert (first.is_repeated, again.is_repeated) == (False, True)
    assert first.event is again.event
    assert len(shell.desk.orders) == 1


async def test_the_deal_to_correct_is_read_where_it_is_decided(
    intake: Intake, shell: Shell
) -> None:
    opened = decide(BUY, 1, None, shell.floor.commands, shell.floor.now)
    deal_id, order, deal = opened.decision_id, opened.order, opened.deal
    assert order is not None
    assert deal is not None
    shell.deals[deal_id] = Dealt(deal_id, deal, order, opened.postings, None)
    taken = await take(intake, 1, None, Correct(deal_id, AUDIT))
    assert taken.event.kind is EventKind.CORRECTED
    for account_id in (1, 2):
        with pytest.raises(Rejected):
            await take(intake, account_id, None, Correct(deal_id, AUDIT))


async def test_each_change_of_settings_is_a_version(intake: Intake, shell: Shell) -> None:
    desk = shell.desk
    states = (TradingState.HALTED, TradingState.ACTIVE)
    for version, state in enumerate(states, start=1):
        change = SetSymbolState("EURUSD", state)
        answer = await intake.answer(ChangeSettings(change, AUTHOR))
        assert answer == SettingsStored(version, SetSymbol(symbol_row(desk.symbols["EURUSD"])))
        assert desk.symbols["EURUSD"].trading_state is state
        assert desk.settings_version == version


async def test_whoever_changes_the_rest_cannot_undo_a_halt(intake: Intake, shell: Shell) -> None:
    """His copy may be older than the halt."""
    symbol, group = shell.desk.symbols["EURUSD"], next(iter(shell.desk.groups.values()))
    for halt in (
        SetSymbolState("EURUSD", TradingState.HALTED),
        SetGroupState(group.name, TradingState.CLOSE_ONLY),
    ):
        await intake.answer(ChangeSettings(halt, AUTHOR))
    for change in (
        SetSymbol(symbol_row(replace(symbol, max_volume=50 * LOT))),
        SetGroup(group_row(replace(group, stop_out_level=Decimal(20)))),
    ):
        await intake.answer(ChangeSettings(change, AUTHOR))
    symbol, group = shell.desk.symbols["EURUSD"], shell.desk.groups[group.name]
    assert (symbol.max_volume, symbol.trading_state) == (50 * LOT, TradingState.HALTED)
    assert (group.stop_out_level, group.trading_state) == (Decimal(20), TradingState.CLOSE_ONLY)


async def test_a_refused_change_is_no_version(intake: Intake, shell: Shell) -> None:
    symbol = replace(shell.desk.symbols["EURUSD"], digits=3)
    for change, code in (
        (SetSymbolState("NONE", TradingState.HALTED), RejectCode.UNKNOWN_SYMBOL),
        (SetGroupState("none", TradingState.HALTED), RejectCode.UNKNOWN_GROUP),
        (SetSymbol(symbol_row(symbol)), RejectCode.INVALID_SETTINGS),
    ):
        with pytest.raises(Rejected) as refused:
            await intake.answer(ChangeSettings(change, AUTHOR))
        assert refused.value.code is code
    assert (shell.desk.settings_version, shell.statements) == (0, [])


async def test_an_account_is_opened_and_trades(intake: Intake, shell: Shell) -> None:
    group = next(iter(shell.desk.groups))
    request = CreateAccount(70, UserType.LIVE, group, Decimal(100), Decimal(5000), AUTHOR)
    assert await intake.answer(request) == Done()
    await take(intake, 70, None, BUY)
    answer = await intake.answer(ListExposure())
    assert answer == Exposure([(group, "EURUSD", LOT // 2, 0)])
    with pytest.raises(Rejected) as refused:
        await intake.answer(request)
    assert refused.value.code is RejectCode.ACCOUNT_EXISTS


@pytest.mark.parametrize(
    "request_",
    [
        TakeCommand(1, None, Cancel(1)),
        CreateAccount(1, UserType.LIVE, "gold", Decimal(100), Decimal(0), AUTHOR),
        ChangeSettings(SetSymbolState("EURUSD", TradingState.HALTED), AUTHOR),
    ],
)
async def test_what_is_of_another_shard_is_not_taken(
    request_: Request, intake: Intake, shell: Shell
) -> None:
    shell.desk.shard = AccountShard(2, 3)
    with pytest.raises(Unavailable, match="not in shard 2"):
        await intake.answer(request_)


async def test_who_does_not_trade_knows_no_exposure(intake: Intake, shell: Shell) -> None:
    shell.has_lease = False
    with pytest.raises(Unavailable):
        await intake.answer(ListExposure())
