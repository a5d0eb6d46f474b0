"""The oracle's swap: one charge for each position and each 17:00 in New York it was held over."""

from datetime import datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from tests.property.valuation import SECOND, PlainOrder, Valuation, cents

NEW_YORK = ZoneInfo("America/New_York")
DAY = timedelta(days=1)


def rollovers(after: int, until: int) -> list[tuple[int, int]]:
    """Return the rollovers `after` < R <= `until` with their weekdays in New York."""
    found: list[tuple[int, int]] = []
    day = datetime.fromtimestamp(after // SECOND, NEW_YORK).replace(tzinfo=None) - DAY
    while True:
        wall = datetime(day.year, day.month, day.day, 17, tzinfo=NEW_YORK)
        instant = int(wall.timestamp()) * SECOND
        if instant > until:
            return found
        if instant > after:
            found.append((instant, wall.weekday()))
        day += DAY


def nights(triple_weekday: int | None, weekday: int) -> int:
    if triple_weekday is None:
        return 1
    if weekday >= 5:
        return 0
    return 3 if weekday == triple_weekday else 1


class SwapValuation(Valuation):
    """What positions owe for the nights they were held."""

    def owed(self, order: PlainOrder, now: int) -> list[tuple[int, Fraction]]:
        """Return the rollovers a position owes at `now`, oldest first, with their amounts in cents.

        Without a conversion rate it goes on owing them: none is returned.
        """
        assert order.open_time is not None
        since = order.open_time
        if order.swapped_until is not None:
            since = max(since, order.swapped_until)
        symbol = self.symbols[order.symbol]
        term = self.terms[order.account.group, order.symbol]
        rate = Fraction(term.swap_long if order.is_long else term.swap_short)
        owed = []
        for instant, weekday in rollovers(since, now):
            points = nights(symbol.triple_swap_weekday, weekday) * rate
            amount = self.in_usd(
                self.notional(order, points * self.point(order.symbol)), symbol.profit_currency
            )
            if amount is None:
                break
            owed.append((instant, cents(amount)))
        return owed
