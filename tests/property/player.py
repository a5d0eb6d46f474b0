"""Plays a run on engine and oracle: turns its steps into quotes and commands."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from service.domain.commands import ModifyOrder, PlaceOrder
from service.domain.order import OrderState, OrderStatus, OrderType
from service.domain.quote import Quote
from tests.property.oracle import MARKET, MAX_AGE, MAX_AHEAD, SECOND
from tests.property.oracle_commands import Levels
from tests.property.runs import BASE_POINTS, DIGITS, GROUPS, SYMBOLS, group_symbol
from tests.property.steps import (
    BadTick,
    Cancel,
    ChangeTerms,
    Close,
    Fund,
    FundAndPlace,
    Modify,
    OrderPlan,
    Place,
    Restart,
    Run,
    Step,
    Sweep,
    Tick,
    Wait,
)
from tests.property.twins import Twins
from tests.property.valuation import LONG, PlainOrder

START = 1_700_000_000 * SECOND
STRAY = 11
"""Where a step picks this one, it picks an order that may be gone or another account's."""

FALLS = (OrderType.BUY_LIMIT, OrderType.SELL_STOP)
NAMES = tuple(symbol.name for symbol in SYMBOLS)


class Points(NamedTuple):
    price: int | None
    stop_loss: int | None
    take_profit: int | None


def levels_of(symbol: str, points: Points) -> Levels:
    scale = 10 ** DIGITS[symbol]
    price, stop, take = (None if p is None else Fraction(p, scale) for p in points)
    return price, stop, take


class Player:
    """One run on both."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.now = START
        terms = [
            group_symbol(group, symbol, run.setting.terms[group * len(SYMBOLS) + symbol])
            for group in range(len(GROUPS))
            for symbol in range(len(SYMBOLS))
        ]
        self.twins = Twins(
            {(term.group, term.symbol): term for term in terms}, run.setting.accounts
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
        symbol = NAMES[plan.symbol]
        base = BASE_POINTS[plan.symbol] + plan.offset
        points = self._around(plan, base, is_market=plan.order_type in MARKET)
        self.twins.orders[order_id] = OrderState(
            order_id,
            plan.account,
            None,
            symbol,
            plan.order_type,
            OrderStatus.PENDING,
            plan.volume,
            *points,
            trigger=None,
            stop_loss_trigger=None,
            take_profit_trigger=None,
            placed_time=START,
            open_price=None,
            open_time=None,
            open_tick=None,
            margin=None,
            commission=None,
            close_price=None,
            close_time=None,
            profit=None,
            reason=None,
        )
        self.oracle.orders.append(
            PlainOrder(
                order_id,
                self.oracle.accounts[plan.account],
                symbol,
                plan.order_type,
                plan.volume,
                *levels_of(symbol, points),
            )
        )

    # Prices

    def _around(self, plan: OrderPlan, base: int, *, is_market: bool) -> Points:
        sign = 1 if plan.order_type in LONG else -1
        return Points(
            None if is_market else base,
            None if plan.stop is None else base - sign * plan.stop,
            None if plan.take is None else base + sign * plan.take,
        )

    def _near(self, plan: OrderPlan, *, is_market: bool) -> Points:
        """Return levels near the last quote, mostly on the side where the order may rest."""
        last = self.twins.quotes.get(NAMES[plan.symbol])
        base = last[1].bid if last else BASE_POINTS[plan.symbol]
        if not is_market:
            base += -plan.offset if plan.order_type in FALLS else plan.offset
        return self._around(plan, base, is_market=is_market)

    # Steps

    def _take(self, step: Step) -> None:
        twins = self.twins
        match step:
            case Tick():
                self.now += step.seconds * SECOND
                bid = BASE_POINTS[step.symbol] + step.offset
                quote = Quote(NAMES[step.symbol], bid, bid + step.spread, self.now)
                twins.quote(quote, self.now)
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
                self._close(*self._pick(step.which, is_open=True))
            case Fund():
                self._fund(step.account, step.amount)
            case ChangeTerms():
                twins.change_terms(group_symbol(step.group, step.symbol, step.terms))
            case Wait():
                self.now += MAX_AGE + 1
            case Sweep():
                twins.sweep()
            case Restart():
                twins.restart(keeps_quotes=step.keeps_quotes)

    def _cancel(self, account: int, order: int) -> None:
        self.twins.command(
            lambda key: self.twins.command_desk.cancel(account, order, self.now, key),
            lambda: self.oracle.cancel_by_client(account, order, self.now),
        )

    def _close(self, account: int, order: int) -> None:
        self.twins.command(
            lambda key: self.twins.command_desk.close(account, order, self.now, key),
            lambda: self.oracle.close_by_client(account, order, self.now),
        )

    def _bad_quote(self, step: BadTick) -> None:
        symbol, bid = NAMES[step.symbol], BASE_POINTS[step.symbol] + step.offset
        quote = Quote(symbol, bid, bid + 1, self.now)
        last = self.twins.quotes.get(symbol)
        match step.fault:
            case "crossed":
                quote = quote._replace(ask=bid - 1)
            case "zero":
                quote = quote._replace(bid=0)
            case "negative":
                quote = quote._replace(bid=-bid, ask=-1)
            case "late":
                quote = quote._replace(time=last[1].time - 1 if last else self.now)
            case "unknown":
                quote = quote._replace(symbol="XAUUSD")
            case "stale":
                self.now += MAX_AGE + 1
            case "aged":
                self.now += MAX_AGE
            case "ahead":
                quote = quote._replace(time=self.now + MAX_AHEAD)
            case "future":
                quote = quote._replace(time=self.now + MAX_AHEAD + 1)
        self.twins.quote(quote, self.now)

    def _place(self, plan: OrderPlan) -> None:
        symbol, points = NAMES[plan.symbol], self._near(plan, is_market=plan.order_type in MARKET)
        order_id = self.twins.desk.next_order_id
        command = PlaceOrder(plan.account, symbol, plan.order_type, plan.volume, *points)
        levels = levels_of(symbol, points)
        self.twins.command(
            lambda key: self.twins.command_desk.place(command, self.now, key),
            lambda: self.oracle.place(
                order_id, plan.account, symbol, plan.order_type, plan.volume, levels, self.now
            ),
        )

    def _fund_and_place(self, step: FundAndPlace) -> None:
        order_type = OrderType.BUY if step.plan.order_type in LONG else OrderType.SELL
        plan = step.plan._replace(order_type=order_type, stop=None, take=None)
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
        if order is None:
            self._modify_to(account, number, NAMES[0], step.changes, 100, Points(1, None, None))
            return
        symbol, is_open = order.symbol, order.open_price is not None
        plan = step.plan._replace(symbol=NAMES.index(symbol), order_type=order.order_type)
        changes = step.changes - {"price", "volume"} if is_open and not step.stray else step.changes
        before = replace(order)
        points = self._near(plan, is_market=is_open or order.order_type in MARKET)
        self._modify_to(account, number, symbol, changes, plan.volume, points)
        if step.back:
            scale = 10 ** DIGITS[symbol]
            levels = (before.price, before.stop_loss, before.take_profit)
            back = Points(*(None if p is None else int(p * scale) for p in levels))
            self._modify_to(account, number, symbol, changes, before.volume, back)

    def _modify_to(
        self,
        account: int,
        number: int,
        symbol: str,
        changes: frozenset[str],
        volume: int,
        points: Points,
    ) -> None:
        command = ModifyOrder(account, number, changes, points.price, volume, *points[1:])
        new = PlainOrder(
            number,
            self.oracle.accounts[0],
            symbol,
            OrderType.BUY,
            volume,
            *levels_of(symbol, points),
        )
        self.twins.command(
            lambda key: self.twins.command_desk.modify(command, self.now, key),
            lambda: self.oracle.modify(account, number, changes, new, self.now),
        )

    def _fund(self, account: int, amount: Decimal) -> None:
        self.twins.command(
            lambda key: self.twins.command_desk.fund(account, amount, self.now, key),
            lambda: self.oracle.fund(account, Fraction(amount), self.now),
        )

    def _pick(self, which: int, *, is_open: bool | None = None) -> tuple[int, int]:
        """Return account and id of a live order, for STRAY of any, or of none."""
        orders = self.oracle.orders
        fitting = [o for o in orders if is_open in (None, o.open_price is not None)] or orders
        if which == STRAY or not fitting:
            return 0, len(orders)
        order = fitting[which % len(fitting)]
        return order.account.account_id, order.order_id
