"""One-sided trigger books.

A book holds (price, id) entries that fire when the quote crosses their price: at most it
(`TriggerBook(at_most=True)`: fires when quote <= price, highest first) or at least it. `top` is
the price that fires first, or a sentinel no quote reaches.

Complexity: a quote that triggers nothing costs one comparison with `top`; adding and removing are
O(log n), k fired entries O(k log n). Removal is lazy: the owner calls `discard`, an entry no longer
wanted fires once and is dropped by the owner, and the heap is rebuilt when more than half of it is
dead. Duplicate entries are allowed; the owner checks what fires against the order's state.
Entries are single integers, `price << ID_BITS | id`, which keeps a million of them in 44 MB. An id
is an order's, or with `WATCH_BIT` set that of an account's price band (`service.domain.watch`).
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush

ID_BITS = 48
WATCH_BIT = 1 << (ID_BITS - 1)
_ID_MASK = (1 << ID_BITS) - 1
_NEVER_AT_MOST = -(1 << 62)
_NEVER_AT_LEAST = 1 << 62
_COMPACT_ABOVE = 64


class TriggerCounts:
    """How many entries quotes have crossed, by what they were, and what could not be dealt.

    Attributes:
        fired, band, gone: the trigger of a live order; an account's price band; the entry of an
            order or band that had moved on.
        deferred: how often a fired trigger could not be dealt and was rested again.
    """

    __slots__ = ("band", "deferred", "fired", "gone")

    def __init__(self) -> None:
        self.fired = self.band = self.gone = self.deferred = 0


class TriggerBook:
    """Resting triggers on one side of one price of a symbol."""

    __slots__ = ("_dead", "_heap", "_never", "_sign", "fires_at_most", "top")

    def __init__(self, *, at_most: bool) -> None:
        self.fires_at_most = at_most
        self._heap: list[int] = []
        self._sign = -1 if at_most else 1
        self._never = _NEVER_AT_MOST if at_most else _NEVER_AT_LEAST
        self._dead = 0
        self.top = self._never

    def add(self, price: int, entry_id: int) -> None:
        """Rest a trigger at a normalised `price` in points."""
        heappush(self._heap, (self._sign * price) << ID_BITS | entry_id)
        self.top = self._sign * (self._heap[0] >> ID_BITS)

    def pop_crossed(self, quote: int) -> list[tuple[int, int]]:
        """Remove and return the (price, id) entries that `quote` crosses, dead ones too."""
        heap, sign = self._heap, self._sign
        limit = sign * quote
        fired = []
        while heap and (key := heap[0] >> ID_BITS) <= limit:
            fired.append((sign * key, heappop(heap) & _ID_MASK))
        self._find_top()
        return fired

    def discard(self, is_live: Callable[["TriggerBook", int, int], bool]) -> None:
        """Note that an entry died; rebuild with those `is_live(book, price, id)` keeps when due."""
        self._dead += 1
        if self._dead > _COMPACT_ABOVE and self._dead * 2 > len(self._heap):
            sign = self._sign
            self._heap = list(
                {
                    entry
                    for entry in self._heap
                    if is_live(self, sign * (entry >> ID_BITS), entry & _ID_MASK)
                }
            )
            heapify(self._heap)
            self._dead = 0
            self._find_top()

    def bury(self) -> None:
        """Note that a dead entry has left through `pop_crossed`."""
        if self._dead:
            self._dead -= 1

    def _find_top(self) -> None:
        self.top = self._sign * (self._heap[0] >> ID_BITS) if self._heap else self._never
