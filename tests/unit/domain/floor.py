"""A small trading floor for table tests: one engine, round terms, times in seconds.

Symbols: EURUSD (5 digits), USDJPY and EURJPY (3 digits), GBPUSD and EURGBP (5 digits), 100,000
units a lot. Groups: `market` and `requested`, named by their fill policy.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from service.domain.account import Account
from service.domain.commands import CommandDesk
from service.domain.decision import Deal, Decision
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.instructions import ModifyOrder, PlaceOrder
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
from service.domain.order import OrderState, OrderStatus, OrderType
from service.domain.quote import REPLAY_GUARD, Quote, QuoteGuard, QuoteRefusal
from service.domain.rejection import RejectCode, Rejected
from service.domain.shard import ALL_ACCOUNTS, AccountShard

SECOND = 1_000_000_000
LOT = 10_000
PAIRS = {"EURUSD": 5, "GBPUSD": 5, "EURGBP": 5, "USDJPY": 3, "EURJPY": 3}


def symbol_of(name: str, digits: int, **changes: Any) -> Symbol:
    symbol = Symbol(
        name,
        digits,
        Decimal(100_000),
        name[:3],
        name[3:],
        InstrumentType.FOREX,
        min_volume=100,
        max_volume=100 * LOT,
        volume_step=100,
    )
    return replace(symbol, **changes)


def group_of(policy: FillPolicy, **changes: Any) -> Group:
    """Return a group with a margin call at 100 %, over at 105 %, and a stop-out at 50 %."""
    return replace(Group(policy.value, Decimal(100), Decimal(50), False, policy), **changes)


def terms_of(group: str, symbol: str, digits: int, markup: int = 0, **changes: Any) -> GroupSymbol:
    """Return terms without commission and with a markup in points."""
    terms = GroupSymbol(
        group,
        symbol,
        spread=Decimal(markup),
        spread_pip=Decimal(1).scaleb(-digits),
        commission_type=CommissionType.ENTRY_AND_EXIT,
        commission_value_type=CommissionValueType.PER_LOT,
        commission=Decimal(0),
        swap_long=Decimal(0),
        swap_short=Decimal(0),
        margin_factor=Decimal(1),
    )
    return replace(terms, **changes)


def utc(text: str) -> int:
    """Return a moment like 2024-03-08 21:59:59 in ns UTC."""
    return int(datetime.fromisoformat(text + "+00:00").timestamp()) * SECOND


class Floor:
    """Account 1 is in group `market`, account 2 in `requested`; both have 1,000,000 at 1:100."""

    def __init__(
        self, guard: QuoteGuard = REPLAY_GUARD, shard: AccountShard = ALL_ACCOUNTS
    ) -> None:
        self.desk = Desk(shard)
        self.engine = Engine(self.desk, guard)
        self.commands = CommandDesk(self.desk, guard)
        self.now = 1_000 * SECOND
        for name, digits in PAIRS.items():
            self.desk.set_symbol(symbol_of(name, digits))
        for number, policy in enumerate(FillPolicy, 1):
            self.desk.set_group(group_of(policy))
            for name in PAIRS:
                self.set_terms(policy.value, name)
            if shard.owns(number):
                self.add_account(number, policy.value)

    def set_terms(self, group: str, symbol: str, markup: int = 0, **changes: Any) -> None:
        digits = self.desk.markets[symbol].symbol.digits
        self.desk.set_terms(terms_of(group, symbol, digits, markup, **changes))

    def set_symbol(self, name: str, **changes: Any) -> None:
        self.desk.set_symbol(symbol_of(name, PAIRS[name], **changes))

    def set_group(self, name: str = "market", **changes: Any) -> None:
        self.desk.set_group(group_of(FillPolicy(name), **changes))

    def add_account(
        self, number: int, group: str = "market", balance: str = "1000000", leverage: str = "100"
    ) -> Account:
        account = Account(
            number, UserType.LIVE, self.desk.groups[group], Decimal(leverage), Decimal(balance)
        )
        self.desk.accounts[number] = account
        return account

    def quote(self, symbol: str, bid: int, ask: int) -> Sequence[Decision] | QuoteRefusal:
        self.now += SECOND
        return self.engine.on_quote(Quote(symbol, bid, ask, self.now), self.now)

    def tick(self, symbol: str, bid: int, ask: int) -> list[Decision]:
        """Give a quote that is not refused."""
        decided = self.quote(symbol, bid, ask)
        assert not isinstance(decided, QuoteRefusal), decided
        return list(decided)

    def deals(self, symbol: str, bid: int, ask: int) -> list[Deal]:
        return [d.deal for d in self.tick(symbol, bid, ask) if d.deal is not None]

    def rest(
        self,
        order_type: OrderType,
        price: int | None = None,
        stop_loss: int | None = None,
        take_profit: int | None = None,
        *,
        account: int = 1,
        symbol: str = "EURUSD",
        volume: int = LOT,
        limit_price: int | None = None,
        trailing_distance: int | None = None,
        expires_at: int | None = None,
    ) -> int:
        """Rest an order as a scenario does, without a look at the market, and return its id."""
        number = self.desk.next_order_id
        self.desk.next_order_id += 1
        self.engine.load(
            [
                OrderState(
                    order_id=number,
                    account_id=account,
                    client_order_id=None,
                    symbol=symbol,
                    order_type=order_type,
                    status=OrderStatus.PENDING,
                    volume=volume,
                    price=price,
                    stop_loss=stop_loss,
                    take_profit=take_profit,
                    trigger=None,
                    stop_loss_trigger=None,
                    take_profit_trigger=None,
                    placed_time=self.now,
                    open_price=None,
                    open_time=None,
                    open_tick=None,
                    margin=None,
                    commission=None,
                    close_price=None,
                    close_time=None,
                    profit=None,
                    reason=None,
                    limit_price=limit_price,
                    trailing_distance=trailing_distance,
                    expires_at=expires_at,
                )
            ]
        )
        return number

    def place(
        self,
        order_type: OrderType,
        price: int | None = None,
        stop_loss: int | None = None,
        take_profit: int | None = None,
        *,
        account: int = 1,
        symbol: str = "EURUSD",
        volume: int = LOT,
        limit_price: int | None = None,
        trailing_distance: int | None = None,
        expires_at: int | None = None,
    ) -> Decision:
        command = PlaceOrder(
            account,
            symbol,
            order_type,
            volume,
            price,
            stop_loss,
            take_profit,
            None,
            limit_price,
            trailing_distance,
            expires_at,
        )
        return self.commands.place(command, self.now)

    def modify(self, order: int, account: int = 1, **changes: int | None) -> Decision:
        command = ModifyOrder(account, order, frozenset(changes), **changes)
        return self.commands.modify(command, self.now)

    def close(self, order: int, account: int = 1, volume: int | None = None) -> Deal:
        return deal_of(self.close_part(order, account, volume))

    def close_part(self, order: int, account: int = 1, volume: int | None = None) -> Decision:
        return self.commands.close(account, order, self.now, volume=volume)

    def refusal(self, command: Callable[[], object]) -> RejectCode:
        """Return why a command is refused."""
        with pytest.raises(Rejected) as refused:
            command()
        return refused.value.code


def kinds(decisions: Iterable[Decision]) -> list[str]:
    """Return what was decided: the event, and the reason of a deal."""
    return [
        d.kind.value if d.deal is None else f"{d.kind.value} {d.deal.reason}" for d in decisions
    ]


def posted(decision: Decision) -> list[tuple[str, str]]:
    return [(entry.kind.value, str(entry.amount)) for entry in decision.postings]


def order_of(decision: Decision) -> OrderState:
    assert decision.order is not None
    return decision.order


def deal_of(decision: Decision) -> Deal:
    assert decision.deal is not None
    return decision.deal
