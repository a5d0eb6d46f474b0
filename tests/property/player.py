"""Plays a run on engine and oracle: turns its steps into quotes and commands."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil

from service.domain.decision import Audit
from service.domain.instructions import ModifyOrder
from service.domain.order import OrderType
from service.domain.quote import Quote
from tests.property.faults import part_of, spoil
from tests.property.levels import Levels, near, placed, plain_order, resting_state
from tests.property.markets import (
    BASE_POINTS,
    GROUPS,
    NAMES,
    STARTS,
    SYMBOLS,
    group_of,
    group_symbol,
    sessions_of,
)
from tests.property.oracle import MAX_AGE
from tests.property.oracle_swap import rollovers
from tests.property.squeeze import equity_at, squeeze
from tests.property.steps import (
    BadTick,
    Cancel,
    ChangeGroup,
    ChangeSymbol,
    ChangeTerms,
    ChargeSwaps,
    Close,
    Correct,
    Expire,
    Fund,
    FundAndPlace,
    FundTo,
    Jump,
    Modify,
    Nudge,
    OrderPlan,
    Place,
    Restart,
    Run,
    Squeeze,
    Step,
    Sweep,
    Tick,
    Wait,
)
from tests.property.twins import Twins
from tests.property.valuation import LONG, SECOND, PlainOrder

STRAY = 11
"""Where a step picks this one, it picks an order that may be gone or another account's."""

AUDIT = Audit("admin", "correct", "a deal", "bad tick")
POSITION_KEEPS = {"price", "volume", "limit_price", "expires_at"}


class Player:
    """One run on both."""

    def __init__(self, run: Run) -> None:
        self.run = run
        setting = run.setting
        self.now = start = STARTS[setting.start]
        self.twins = Twins(
            [
                replace(symbol, sessions=sessions_of(kind, start))
                for symbol, kind in zip(SYMBOLS, setting.sessions, strict=True)
            ],
            [group_of(group, rules) for group, rules in enumerate(setting.rules)],
            [
                group_symbol(group, symbol, setting.terms[group * len(SYMBOLS) + symbol])
                for group in range(len(GROUPS))
                for symbol in range(len(SYMBOLS))
            ],
            setting.accounts,
            is_replay=run.is_replay,
        )
        self.oracle = self.twins.oracle
        for number, plan in enumerate(run.resting, 1):
            self._rest(number, plan)
        self.twins.start(decision_id=1, order_id=1 + len(run.resting), tick=0)

    def play(self) -> Counter[str]:
        """Play to the end and return what was seen. Raises Disagreement."""
        for symbol in self.run.setting.quoted:
            self._take(Tick(symbol, 0, 1, 0))
        for step in self.run.steps:
            self._take(step)
        return self.twins.seen

    def _rest(self, order_id: int, plan: OrderPlan) -> None:
        """Store an order of a scenario, which is placed before the first tick."""
        levels = placed(plan, BASE_POINTS[plan.symbol] + plan.offset, self.now)
        self.twins.store.orders[order_id] = resting_state(order_id, plan, levels, self.now)
        account = self.oracle.accounts[plan.account]
        self.oracle.orders.append(plain_order(order_id, account, plan, levels))

    # Steps

    def _take(self, step: Step) -> None:
        twins = self.twins
        match step:
            case Tick():
                self.now += step.seconds * SECOND
                self._quote(step.symbol, BASE_POINTS[step.symbol] + step.offset, step.spread)
            case Nudge():
                self._quote(step.symbol, self._bid(step.symbol) + step.points, step.spread)
            case Squeeze():
                bid = squeeze(self.oracle, step)
                if bid is not None:
                    self._quote(step.symbol, bid, 1)
            case BadTick():
                self._bad_quote(step)
            case Place():
                self._place(step.plan)
            case FundAndPlace():
                self._fund_and_place(step)
            case Modify():
                self._modify(step)
            case Cancel():
                self._cancel(*self._pick(step.which, is_open=False))
            case Close():
                self._close(*self._pick(step.which, is_open=True), step.part)
            case Correct():
                self._correct(step.which)
            case Fund():
                self._fund(step.account, step.amount)
            case FundTo():
                self._fund_to(step)
            case ChangeTerms():
                twins.change_terms(group_symbol(step.group, step.symbol, step.terms))
            case ChangeGroup():
                twins.change_group(group_of(step.group, step.rules, step.state))
            case ChangeSymbol():
                symbol = twins.symbols[NAMES[step.symbol]]
                twins.change_symbol(replace(symbol, trading_state=step.state))
            case Wait():
                self.now += MAX_AGE + 1
            case Jump():
                self._jump(step)
            case Expire():
                twins.expire(self.now)
            case ChargeSwaps():
                twins.mark_swaps(self.now)
                if step.charge:
                    twins.charge_swaps()
            case Sweep():
                twins.sweep()
            case Restart():
                twins.restart(keeps_quotes=step.keeps_quotes)

    def _quote(self, symbol: int, bid: int, spread: int) -> None:
        self.twins.quote(Quote(NAMES[symbol], bid, bid + spread, self.now), self.now)

    def _jump(self, step: Jump) -> None:
        if step.to_rollover:
            # Between two of them there are at most 25 hours.
            self.now = rollovers(self.now, self.now + 90_001 * SECOND)[0][0]
        self.now += step.seconds * SECOND

    def _bad_quote(self, step: BadTick) -> None:
        symbol, bid = NAMES[step.symbol], BASE_POINTS[step.symbol] + step.offset
        quote = Quote(symbol, bid, bid + 1, self.now)
        last = self.twins.quotes.get(symbol)
        quote, age = spoil(quote, step.fault, None if last is None else last[1].time)
        self.now += age
        self.twins.quote(quote, self.now)

    def _place(self, plan: OrderPlan) -> None:
        levels = near(self._bid(plan.symbol), plan, self.now)
        order = plain_order(
            self.twins.desk.next_order_id, self.oracle.accounts[plan.account], plan, levels
        )
        command = levels.place(plan)
        self.twins.command(
            lambda key: self.twins.command_desk.place(command, self.now, key),
            lambda: self.oracle.place(order, self.now),
        )

    def _fund_and_place(self, step: FundAndPlace) -> None:
        order_type = OrderType.BUY if step.plan.order_type in LONG else OrderType.SELL
        plan = step.plan._replace(order_type=order_type, stop=None, take=None, life=None)
        account, symbol = self.oracle.accounts[plan.account], NAMES[plan.symbol]
        order = PlainOrder(0, account, symbol, order_type, plan.volume, None, None, None)
        if symbol not in self.oracle.quotes:
            return
        margin = self.oracle.margin_at(order, self.oracle.opening_price(order))
        free = self.oracle.free_margin(account)
        if margin is None or free is None:
            return
        missing = self.oracle.additional_margin(order, margin) - free
        self._fund(plan.account, Decimal(ceil(missing * 100) + step.cents) / 100)
        self._place(plan)

    def _modify(self, step: Modify) -> None:
        account, number = self._pick(step.which)
        order = next((o for o in self.oracle.orders if o.order_id == number), None)
        plan, changes = step.plan, step.changes
        if order is None:
            plan = plan._replace(order_type=OrderType.BUY_LIMIT)
            self._modify_to(account, number, changes, plan, near(1, plan, self.now))
            return
        symbol = NAMES.index(order.symbol)
        plan = plan._replace(symbol=symbol, order_type=order.order_type)
        if order.is_open:
            plan = plan._replace(order_type=OrderType.BUY if order.is_long else OrderType.SELL)
            changes = changes if step.stray else changes - POSITION_KEEPS
        before = Levels.of(order)
        volume = order.volume
        levels = near(self._bid(symbol), plan, self.now)
        self._modify_to(account, number, changes, plan, levels)
        if step.back:
            self._modify_to(account, number, changes, plan._replace(volume=volume), before)

    def _modify_to(
        self, account: int, number: int, changes: frozenset[str], plan: OrderPlan, levels: Levels
    ) -> None:
        named = frozenset("trailing_distance" if c == "trailing" else c for c in changes)
        command = ModifyOrder(
            account,
            number,
            named,
            levels.price,
            plan.volume,
            levels.stop_loss,
            levels.take_profit,
            levels.limit_price,
            levels.trailing,
            levels.expires_at,
        )
        new = plain_order(number, self.oracle.accounts[0], plan, levels)
        self.twins.command(
            lambda key: self.twins.command_desk.modify(command, self.now, key),
            lambda: self.oracle.modify(account, number, changes, new, self.now),
        )

    def _cancel(self, account: int, order: int) -> None:
        self.twins.command(
            lambda key: self.twins.command_desk.cancel(account, order, self.now, key),
            lambda: self.oracle.cancel_by_client(account, order, self.now),
        )

    def _close(self, account: int, number: int, part: str | None) -> None:
        order = next((o for o in self.oracle.orders if o.order_id == number), None)
        whole = 100 if order is None else order.volume
        volume = part_of(whole, part)
        self.twins.command(
            lambda key: self.twins.command_desk.close(account, number, self.now, key, volume),
            lambda: self.oracle.close_by_client(account, number, self.now, volume),
        )

    def _correct(self, which: int) -> None:
        """Take back a deal of the last ones that were not taken back yet."""
        deals = sorted(self.twins.store.deals)[-4:]
        if deals:
            number = deals[which % len(deals)]
            command = self.twins.store.correction(number)
            is_done = self.twins.command(
                lambda key: self.twins.command_desk.correct(command, self.now, key, AUDIT),
                lambda: self.oracle.correct(number, self.now),
            )
            self.twins.seen[f"taken back {command.deal.event}"] += is_done

    def _fund(self, account: int, amount: Decimal) -> None:
        self.twins.command(
            lambda key: self.twins.command_desk.fund(account, amount, self.now, key),
            lambda: self.oracle.fund(account, Fraction(amount), self.now),
        )

    def _fund_to(self, step: FundTo) -> None:
        equity = self.oracle.equity(self.oracle.accounts[step.account])
        if equity is not None:
            missing = equity_at(self.oracle, step.account, step.level) - equity
            self._fund(step.account, Decimal(ceil(missing * 100) + step.cents) / 100)

    def _bid(self, symbol: int) -> int:
        last = self.twins.quotes.get(NAMES[symbol])
        return last[1].bid if last else BASE_POINTS[symbol]

    def _pick(self, which: int, *, is_open: bool | None = None) -> tuple[int, int]:
        """Return account and id of a live order, for STRAY of any, or of none."""
        orders = self.oracle.orders
        fitting = [o for o in orders if is_open in (None, o.is_open)] or orders
        if which == STRAY or not fitting:
            return 0, len(orders)
        order = fitting[which % len(fitting)]
        return order.account.account_id, order.order_id
