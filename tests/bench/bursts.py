"""Ticks that each trigger an exact number of fresh orders: a price that falls step by step.

Half of a burst opens (buy limits and sell stops), half closes (stop losses of long positions). An
account's five orders belong to one burst, so that every round finds accounts as fresh as the last.
"""

from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

from service.domain.desk import Desk
from service.domain.order import Order, OrderState, OrderType
from service.domain.quote import Quote
from tests.bench.brokerage import (
    INSTRUMENTS,
    OPENED_NS,
    ORDERS_PER_ACCOUNT,
    account_of,
    open_at,
    state_of,
)

SYMBOL = INSTRUMENTS[0].symbol.name
TOP_ASK_POINTS = INSTRUMENTS[0].price
SPREAD_POINTS = INSTRUMENTS[0].spread
STEP_POINTS = 10
PROTECTION_POINTS = 20_000  # further away than all steps together
_TYPES = (OrderType.BUY_LIMIT, OrderType.BUY, OrderType.SELL_STOP, OrderType.BUY)


class Burst(NamedTuple):
    """One tick and the `size` orders it triggers, with ids from `first_id` on; steps from 1."""

    step: int
    size: int
    first_id: int
    is_warm_up: bool

    @property
    def ask(self) -> int:
        return TOP_ASK_POINTS - self.step * STEP_POINTS

    @property
    def quote(self) -> Quote:
        return Quote(SYMBOL, self.ask - SPREAD_POINTS, self.ask, OPENED_NS + self.step)


def plan_bursts(rounds: Mapping[int, int], warm_ups: int) -> list[Burst]:
    """Return `rounds[size]` bursts of each size, after a few of the same size to warm up."""
    bursts: list[Burst] = []
    first_id = 1
    for size, count in rounds.items():
        for number in range(warm_ups + count):
            bursts.append(Burst(len(bursts) + 1, size, first_id, number < warm_ups))
            first_id += -(-size // ORDERS_PER_ACCOUNT) * ORDERS_PER_ACCOUNT
    return bursts


def orders_of(desk: Desk, burst: Burst) -> Iterator[OrderState]:
    """Yield the orders that the burst's tick triggers and no tick before; `desk` seats all."""
    random = Random(burst.step)
    for number in range(burst.size):
        order_id = burst.first_id + number
        order_type = _TYPES[(burst.step + number) % len(_TYPES)]
        account = desk.accounts[account_of(order_id)]
        terms = desk.terms[account.group.name, SYMBOL]
        ask = burst.ask + random.randrange(STEP_POINTS)
        bid_price = ask - SPREAD_POINTS - terms.sell_markup
        price = stop_loss = take_profit = None
        if order_type is OrderType.BUY:
            stop_loss = bid_price
            take_profit = TOP_ASK_POINTS + PROTECTION_POINTS
        elif order_type is OrderType.BUY_LIMIT:
            price = ask + terms.buy_markup
            stop_loss, take_profit = price - PROTECTION_POINTS, price + PROTECTION_POINTS
        else:
            price = bid_price
            stop_loss, take_profit = price + PROTECTION_POINTS, price - PROTECTION_POINTS
        order = Order(
            order_id,
            account,
            terms,
            order_type,
            random.randint(1, 100) * 100,
            price,
            stop_loss,
            take_profit,
            f"bench-{order_id}",
            OPENED_NS,
        )
        if order_type is OrderType.BUY:
            open_at(order, TOP_ASK_POINTS + terms.buy_markup)
        yield state_of(desk, order)
