"""Swap: what a position held over the end of the trading day costs or brings.

The day rolls over at 17:00 in New York, through its clock changes. A night is

    rate * volume / 10,000 * contract_size * 10^-digits    in the profit currency,

the rate being the group's `swap_long` or `swap_short` in points of the price (negative: charged),
converted to USD as a gain or a loss at the last quotes and rounded half even to cents for each
position and rollover. The symbol's triple weekday charges three nights for the weekend to come,
whose own rollovers charge none; a symbol without one pays one night on every day of the week.

A position owes a rollover that it was opened before and was not charged for yet (`swapped_until`),
so that a second run changes nothing and a missed one is made up. `owe_swaps` marks who owes;
`charge_swap` collects from one of them; a position that closes in between pays with its closing.
Several missed rollovers are posted as one sum, dated at the last.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from service.domain.decision import Decision, EventKind, PostingKind
from service.domain.desk import Desk
from service.domain.money import EXACT, ZERO, to_cents
from service.domain.order import Order, OrderStatus
from service.domain.record import post, record

ROLLOVER_ZONE = "America/New_York"
ROLLOVER_HOUR = 17
TRIPLE = 3
_NS_PER_S = 1_000_000_000
_SATURDAY = 5
_OPEN = OrderStatus.OPEN
_SWAP, _CHARGED = PostingKind.SWAP, EventKind.SWAP_CHARGED


def next_rollover(time: int) -> int:
    """Return the first rollover after `time`, both ns UTC."""
    local = datetime.fromtimestamp(time // _NS_PER_S, ZoneInfo(ROLLOVER_ZONE))
    day = datetime(local.year, local.month, local.day, ROLLOVER_HOUR, tzinfo=local.tzinfo)
    while (rollover := int(day.timestamp()) * _NS_PER_S) <= time:
        # Naive arithmetic on the wall clock: the next day's 17:00, whatever the clock does at
        # night.
        day += timedelta(days=1)
    return rollover


def rollovers(after: int, until: int) -> Iterator[int]:
    """Yield the rollovers later than `after` and not later than `until`, ns UTC."""
    rollover = next_rollover(after)
    while rollover <= until:
        yield rollover
        rollover = next_rollover(rollover)


def nights(triple_weekday: int | None, rollover: int) -> int:
    """Return how many nights a rollover charges."""
    weekday = datetime.fromtimestamp(rollover // _NS_PER_S, ZoneInfo(ROLLOVER_ZONE)).weekday()
    if triple_weekday is None:
        return 1
    if weekday >= _SATURDAY:
        return 0
    return TRIPLE if weekday == triple_weekday else 1


def last_rollover(now: int) -> int:
    """Return the last rollover not later than `now`, both ns UTC."""
    week_ago = now - 7 * 24 * 3600 * _NS_PER_S
    return max(rollovers(week_ago, now))


def owe_swaps(desk: Desk, now: int) -> None:
    """Mark the positions that owe a rollover up to `now` (ns UTC).

    It walks all positions: call it when a rollover has passed, and after loading.
    """
    desk.owed_until = last_rollover(now)
    desk.owing.clear()
    positions = (
        order
        for account in desk.accounts.values()
        for exposure in account.exposures.values()
        for order in exposure.positions.values()
    )
    for order in sorted(positions, key=_by_age):
        note_owing(desk, order)


def _by_age(order: Order) -> int:
    return order.order_id


def note_owing(desk: Desk, order: Order) -> None:
    """Mark a live order if it is a position that owes a rollover of those already marked."""
    if order.status is _OPEN and _charged_until(desk, order) < desk.owed_until:
        desk.owing[order.order_id] = order


def charge_swap(desk: Desk, order: Order) -> Decision | None:
    """Charge one position that owes; None: it came to nothing, or goes on owing.

    It goes on where there is no conversion rate, or its account has faulted.
    """
    swap = None if order.account.account_id in desk.faults else settle_swap(desk, order)
    if not swap:
        return None
    postings = post(order.account, ((_SWAP, swap),))
    return record(desk, _CHARGED, order, _OPEN, None, postings, desk.owed_until)


def settle_swap(desk: Desk, order: Order) -> Decimal | None:
    """Take a position off those that owe, and return what is to be posted in USD, in cents.

    None: there is no conversion rate, and it goes on owing.
    """
    if order.order_id not in desk.owing:
        return ZERO
    market, settings = order.terms.market, order.terms.settings
    rate = settings.swap_long if order.order_type.is_buy else settings.swap_short
    night = EXACT.multiply(market.profit_scale, EXACT.multiply(rate, order.volume))
    total = ZERO
    for rollover in rollovers(_charged_until(desk, order), desk.owed_until):
        count = nights(market.symbol.triple_swap_weekday, rollover)
        amount = market.rate.gain(EXACT.multiply(night, count))
        if amount is None:
            return None
        total = EXACT.add(total, to_cents(amount))
    del desk.owing[order.order_id]
    order.swapped_until = desk.owed_until
    if total:
        order.swap = total if order.swap is None else EXACT.add(order.swap, total)
    return total


def _charged_until(desk: Desk, order: Order) -> int:
    assert order.open_time is not None
    return max(order.open_time, order.swapped_until or 0, desk.rolled_until)
