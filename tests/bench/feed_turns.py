"""The quotes of a turn over a socket, and the orders that some of them trigger.

30 symbols are quoted as often as each is against the others, a few points around where they start.
A share of the quotes dips: each dip of a symbol goes a little deeper than its last, to where one
fresh order rests, of an account of its own: one in four a buy limit, one a sell stop, two stop
losses of long positions. So every turn of the same numbers triggers the same, however many turns
there were before, and whoever sends the quotes need not know the orders.
"""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

import msgspec

from service.domain.desk import Desk
from service.domain.instrument import UserType
from service.domain.money import format_scaled
from service.domain.order import Order, OrderState, OrderType
from service.feed.upstream import UpstreamQuote
from tests.bench.brokerage import (
    GROUPS,
    INSTRUMENTS,
    OPENED_NS,
    BenchAccount,
    open_at,
    seat,
    state_of,
)

QUIET_POINTS = 5
STEP_POINTS = 2
PROTECTION_SHARE = 5  # stop loss and take profit of what opens: a fifth of the price away
FIRST_ID = 10_000_000  # above all orders and accounts that rest for good
START_OR_END = "the turn begins or ends here"  # which no feed can read

_WEIGHTS = [instrument.weight for instrument in INSTRUMENTS]
_TYPES = (OrderType.BUY_LIMIT, OrderType.BUY, OrderType.SELL_STOP, OrderType.BUY)
_SYMBOL_NUMBERS = range(len(INSTRUMENTS))


class Turn(NamedTuple):
    """What is sent: how many quotes, how many to a message, the share that triggers.

    `per_s` messages a second are sent, or all at once where it is 0: in one piece, or, if `apart`
    is 1, each message by itself.
    """

    quotes: int
    together: int = 1
    triggering: float = 0.0
    per_s: int = 0
    seed: int = 0
    apart: int = 0

    @property
    def query(self) -> str:
        return urlencode(self._asdict())

    @staticmethod
    def of_query(query: str) -> "Turn":
        """Read what `query` wrote."""
        return msgspec.convert([text for _, text in parse_qsl(query)], Turn, strict=False)

    def dips(self) -> int:
        """Return how many of its quotes trigger an order."""
        return round(self.quotes * self.triggering)


class Tick(NamedTuple):
    """A quote to come: of which instrument, its prices in points, its dip counted from 1, or 0."""

    number: int
    bid: int
    ask: int
    dip: int


def ticks_of(turn: Turn) -> list[Tick]:
    """Return the ticks of a turn in their order: the same for the same turn."""
    random = Random(turn.seed)
    numbers = random.choices(_SYMBOL_NUMBERS, _WEIGHTS, k=turn.quotes)
    dipping = set(random.sample(range(turn.quotes), turn.dips()))
    dips: Counter[int] = Counter()
    ticks = []
    for place, number in enumerate(numbers):
        _, mid, spread, *_ = INSTRUMENTS[number]
        bid = mid - spread // 2
        if place in dipping:
            dips[number] += 1
            dip = dips[number]
            bid -= QUIET_POINTS + dip * STEP_POINTS
        else:
            dip = 0
            bid += random.randint(-QUIET_POINTS, QUIET_POINTS)
        ticks.append(Tick(number, bid, bid + spread, dip))
    return ticks


def messages_of(turn: Turn, ticks: list[Tick], time: str) -> list[str]:
    """Return the turn's messages as an upstream sends them, all of one time."""
    parts = [msgspec.json.encode(_quote(tick, time)).decode() for tick in ticks]
    if turn.together == 1:
        return parts
    return [
        f"[{','.join(parts[first : first + turn.together])}]"
        for first in range(0, len(parts), turn.together)
    ]


def _quote(tick: Tick, time: str) -> UpstreamQuote:
    symbol = INSTRUMENTS[tick.number].symbol
    bid, ask = format_scaled(tick.bid, symbol.digits), format_scaled(tick.ask, symbol.digits)
    return UpstreamQuote(symbol.name, bid, ask, time)


def seat_dippers(desk: Desk, count: int) -> list[int]:
    """Give each of `count` orders to come an account; return their ids."""
    ids = list(range(FIRST_ID, FIRST_ID + count))
    seat(
        desk,
        (BenchAccount(each, UserType.LIVE, f"group-{each % GROUPS}", Decimal(30)) for each in ids),
    )
    return ids


def orders_of(desk: Desk, ticks: list[Tick]) -> Iterator[OrderState]:
    """Yield an order for each tick that dips, of the account and with the id that are its turn."""
    random = Random(len(ticks))
    for order_id, tick in enumerate((each for each in ticks if each.dip), FIRST_ID):
        instrument = INSTRUMENTS[tick.number]
        account = desk.accounts[order_id]
        terms = desk.terms[account.group.name, instrument.symbol.name]
        order_type = _TYPES[order_id % len(_TYPES)]
        away = instrument.price // PROTECTION_SHARE
        price: int | None = None
        if order_type is OrderType.BUY:
            stop_loss, take_profit = tick.bid - terms.sell_markup, instrument.price + away
        elif order_type is OrderType.BUY_LIMIT:
            price = tick.ask + terms.buy_markup
            stop_loss, take_profit = price - away, price + away
        else:
            price = tick.bid - terms.sell_markup
            stop_loss, take_profit = price + away, price - away
        order = Order(
            order_id,
            account,
            terms,
            order_type,
            random.randint(1, 100) * 100,
            price,
            stop_loss,
            take_profit,
            None,
            OPENED_NS,
        )
        if order_type is OrderType.BUY:
            open_at(order, instrument.price + instrument.spread + terms.buy_markup)
        yield state_of(desk, order)
