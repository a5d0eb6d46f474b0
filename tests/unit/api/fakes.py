"""What stores and publishes, made by hand around a real desk: lists, and answers at once."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence

import msgspec

from service.api.ports import Unsubscribe
from service.domain.commands import CommandDesk
from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.money import format_money
from service.domain.order import OrderStatus
from service.domain.quote import Quote, QuoteGuard, QuoteRefusal
from service.domain.times import format_time
from service.loops.intake import Decide
from service.loops.portfolio import Portfolio
from service.loops.prices import PricesMessage
from service.storage.audit import AuditView, audit_from
from service.storage.dealt import Dealt
from service.storage.group_views import PriceView
from service.storage.reader import LedgerView
from service.storage.settings_write import SettingsStatement
from service.storage.valuation import Valuation
from service.storage.views import (
    AccountView,
    DealView,
    EventView,
    OrderView,
    event_view,
    format_decimal,
)

GUARD = QuoteGuard()
LIVE = (OrderStatus.PENDING, OrderStatus.OPEN)

Callback = Callable[[bytes], None]


class FakeTrading:
    """Decides on a real desk and commits to lists at once."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.engine = Engine(desk, GUARD)
        self.is_leading = self.has_lease = True
        self.leading = asyncio.Event()
        self.failure: Exception | None = None
        self.events: list[EventView] = []
        self.audit: list[AuditView] = []
        self.decisions: list[Decision] = []
        self.hooks: list[Callable[[EventView], None]] = []
        self._keys: dict[tuple[int, str], EventView] = {}
        self._commands = CommandDesk(desk, GUARD)

    async def command(self, account_id: int, key: str | None, decide: Decide) -> EventView:
        if self.failure is not None:
            raise self.failure
        if key is not None and (account_id, key) in self._keys:
            return self._keys[account_id, key]
        event = self._commit(decide(self._commands, time.time_ns()))
        if key is not None:
            self._keys[account_id, key] = event
        return event

    async def change_settings(self, apply: Callable[[Desk], Sequence[SettingsStatement]]) -> None:
        if self.failure is not None:
            raise self.failure
        for statement, arguments in apply(self.desk):
            if "INTO audit" in statement:
                entry = len(self.audit) + 1, *arguments[:5], None, *arguments[5:]
                self.audit.append(audit_from(entry))

    def _commit(self, decision: Decision) -> EventView:
        symbols = {name: market.symbol for name, market in self.desk.markets.items()}
        event = event_view(decision, symbols)
        self.events.append(event)
        self.decisions.append(decision)
        for hook in self.hooks:
            hook(event)
        return event

    def quote(self, symbol: str, bid: int, ask: int, age_s: float = 0) -> None:
        """Take a quote, and commit what it triggers."""
        now = time.time_ns() - int(age_s * 1e9)
        outcome = self.engine.on_quote(Quote(symbol, bid, ask, now), now)
        assert not isinstance(outcome, QuoteRefusal), outcome
        for decision in outcome:
            self._commit(decision)


class FakeReader:
    """Reads what the fake trading committed."""

    def __init__(self, trading: FakeTrading) -> None:
        self._trading = trading
        self.failure: Exception | None = None

    async def account(self, account_id: int) -> AccountView | None:
        if self.failure is not None:
            raise self.failure
        account = self._trading.desk.accounts.get(account_id)
        if account is None:
            return None
        return AccountView(
            account_id=account_id,
            user_type=account.user_type,
            group=account.group.name,
            leverage=format_decimal(account.leverage),
            balance=format_money(account.balance),
            margin=format_decimal(account.margin),
            sequence=account.sequence,
            in_margin_call=account.in_margin_call,
        )

    async def accounts(self, after: int, limit: int) -> list[AccountView]:
        ids = sorted(each for each in self._trading.desk.accounts if each > after)[:limit]
        return [view for each in ids if (view := await self.account(each)) is not None]

    def all_orders(self, account_id: int) -> list[OrderView]:
        """Return an account's orders as last told, newest first."""
        latest = {
            event.order.order_id: event.order
            for event in self._trading.events
            if event.order is not None and event.account_id == account_id
        }
        return [latest[order_id] for order_id in sorted(latest, reverse=True)]

    async def orders(
        self,
        account_id: int,
        statuses: Collection[OrderStatus] | None,
        symbol: str | None,
        limit: int,
        before: int | None,
    ) -> list[OrderView]:
        if self.failure is not None:
            raise self.failure
        return [
            order
            for order in self.all_orders(account_id)
            if (before is None or order.order_id < before)
            and (statuses is None or order.status in statuses)
            and (symbol is None or order.symbol == symbol)
        ][:limit]

    async def order(self, account_id: int, order_id: int) -> OrderView | None:
        found = [each for each in self.all_orders(account_id) if each.order_id == order_id]
        return found[0] if found else None

    async def ledger(self, account_id: int, limit: int, before: int | None) -> list[LedgerView]:
        entries = [
            LedgerView(
                entry_id=event.sequence,
                kind=event.kind,
                amount="1.00",
                balance_after=event.balance,
                order_id=None,
                time=format_time(0),
            )
            for event in reversed(self._trading.events)
            if event.account_id == account_id and (before is None or event.sequence < before)
        ]
        return entries[:limit]

    async def deals(self, account_id: int, limit: int, before: int | None) -> list[DealView]:
        deals = [
            event.deal
            for event in reversed(self._trading.events)
            if event.account_id == account_id and event.deal is not None
        ]
        return [deal for deal in deals if before is None or deal.deal_id < before][:limit]

    async def dealt(self, deal_id: int) -> Dealt | None:
        decisions = {each.decision_id: each for each in self._trading.decisions}
        dealt = decisions.get(deal_id)
        if dealt is None or dealt.deal is None:
            return None
        assert dealt.order is not None
        order_id = dealt.order.order_id
        states = [each.order for each in decisions.values() if each.order is not None]
        latest = [state for state in states if state.order_id == order_id][-1]
        corrections = [
            each.decision_id
            for each in decisions.values()
            if each.deal is not None and each.deal.corrects == deal_id
        ]
        corrected_by = corrections[0] if corrections else None
        return Dealt(deal_id, dealt.deal, latest, dealt.postings, corrected_by)

    async def audit(self, limit: int, before: int | None) -> list[AuditView]:
        entries = reversed(self._trading.audit)
        return [each for each in entries if before is None or each.audit_id < before][:limit]


class FakeVersions:
    """All shards trade by all settings."""

    async def behind(self, version: int) -> list[int]:
        return []


class FakePortfolios:
    """Values accounts with the domain's own rules."""

    def __init__(self, trading: FakeTrading, reader: FakeReader) -> None:
        self._trading = trading
        self._reader = reader
        self.failure: Exception | None = None
        self.worth: dict[int, Valuation] = {}

    async def valuations(self, account_ids: Sequence[int]) -> dict[int, Valuation]:
        return {each: self.worth[each] for each in account_ids if each in self.worth}

    async def refresh(self, account_id: int) -> tuple[AccountView, Sequence[OrderView]] | None:
        if self.failure is not None:
            raise self.failure
        return await self.static_orders(account_id)

    async def static_orders(
        self, account_id: int
    ) -> tuple[AccountView, Sequence[OrderView]] | None:
        account = await self._reader.account(account_id)
        if account is None:
            return None
        return account, [o for o in self._reader.all_orders(account_id) if o.status in LIVE]

    async def process_portfolio_update(self, account_id: int) -> Portfolio | None:
        found = await self._reader.account(account_id)
        if found is None:
            return None
        account = self._trading.desk.accounts[account_id]
        equity, free_margin = account.equity(), account.free_margin()
        return Portfolio(
            account_id=account_id,
            user_type=account.user_type,
            group=account.group.name,
            leverage=found.leverage,
            balance=found.balance,
            equity=None if equity is None else format_money(equity),
            margin=found.margin,
            free_margin=None if free_margin is None else format_money(free_margin),
            margin_level=None,
            unpriced=[],
            positions=[],
            sequence=account.sequence,
        )


class FakeBoard:
    """Sends what a test tells it to."""

    def __init__(self) -> None:
        self._sequences: dict[str, int] = {}
        self.callbacks: dict[str, list[Callback]] = {}

    def sequence(self, group: str) -> int:
        return self._sequences.get(group, 0)

    def subscribe(self, group: str, callback: Callback) -> Unsubscribe:
        callbacks = self.callbacks.setdefault(group, [])
        callbacks.append(callback)
        return lambda: callbacks.remove(callback)

    def publish(self, group: str, **prices: str) -> int:
        """Send a group new prices, by symbol; return their sequence."""
        sequence = self._sequences[group] = self.sequence(group) + 1
        quotes = [
            PriceView(symbol=symbol, sell=price, buy=price, time=format_time(sequence))
            for symbol, price in prices.items()
        ]
        message = msgspec.json.encode(PricesMessage(group=group, sequence=sequence, quotes=quotes))
        for callback in self.callbacks.get(group, []):
            callback(message)
        return sequence


class FakeFeed:
    """Delivers events as they are committed, after catching up."""

    def __init__(self, trading: FakeTrading) -> None:
        self._trading = trading
        self.callbacks: dict[int, list[Callback]] = {}
        self.failure: Exception | None = None
        trading.hooks.append(self._publish)

    def _publish(self, event: EventView) -> None:
        for callback in list(self.callbacks.get(event.account_id, [])):
            callback(msgspec.json.encode(event))

    async def subscribe(self, account_id: int, after: int, callback: Callback) -> Unsubscribe:
        if self.failure is not None:
            raise self.failure
        for event in self._trading.events:
            if event.account_id == account_id and event.sequence > after:
                callback(msgspec.json.encode(event))
        callbacks = self.callbacks.setdefault(account_id, [])
        callbacks.append(callback)
        return lambda: callbacks.remove(callback)
