"""Deals in the log, for whoever follows the orders there (R9.1): lines at DEBUG.

A line tells of a commit and names `NAMED` of its deals at most. However fast orders trigger, there
are `LINES_PER_S` lines a second at most: the next line says how many deals were not told before it.
Where DEBUG is off, nothing is made into text.
"""

import time
from collections.abc import Callable, Sequence

from loguru import logger

from service.domain.decision import Decision
from service.storage.queue import Written

NAMED = 5
LINES_PER_S = 2


class OrderLog:
    """Tells deals as they are committed; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = 0
        self._lines = 0
        self._untold = 0

    def written(self, written: Sequence[Written]) -> None:
        """Log the deals among what was committed."""
        dealt = [each.decision for each in written if each.decision.deal is not None]
        if not dealt:
            return
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines >= LINES_PER_S:
            self._untold += len(dealt)
            return
        untold, self._untold = self._untold, 0
        self._lines += 1
        logger.opt(lazy=True).debug("committed {}", lambda: _text(dealt, untold))


def _text(dealt: Sequence[Decision], untold: int) -> str:
    named = []
    for decision in dealt[:NAMED]:
        order, deal = decision.order, decision.deal
        assert deal is not None
        whose = "" if order is None else f" order {order.order_id}"
        named.append(
            f"{decision.kind}{whose} of account {decision.account.account_id} ({deal.reason})"
        )
    more = f" and {len(dealt) - NAMED} more" if len(dealt) > NAMED else ""
    before = f", after {untold} deals that were not told" if untold else ""
    return f"{', '.join(named)}{more}{before}"
