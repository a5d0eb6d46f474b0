"""When pending orders expire: a heap of times, asked with one comparison a tick.

Removal is lazy: an order that was opened, ended or given another time leaves its entry behind,
which is dropped when its time comes, or when the heap has doubled since it was last cleared.
"""

from collections.abc import Mapping
from heapq import heapify, heappop, heappush

from service.domain.book import ID_BITS
from service.domain.order import Order, OrderStatus

_ID_MASK = (1 << ID_BITS) - 1
_NEVER = 1 << 62
_CLEAR_ABOVE = 64
_PENDING = OrderStatus.PENDING


class ExpiryQueue:
    """Expiry times of pending orders, found by id in `orders`; `next` is the earliest, ns UTC."""

    __slots__ = ("_clear_above", "_heap", "_orders", "next")

    def __init__(self, orders: Mapping[int, Order]) -> None:
        self._orders = orders
        self._heap: list[int] = []
        self._clear_above = _CLEAR_ABOVE
        self.next = _NEVER

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, order: Order) -> None:
        """Remember when an order expires."""
        assert order.expires_at is not None
        heappush(self._heap, order.expires_at << ID_BITS | order.order_id)
        if len(self._heap) > self._clear_above:
            self._heap = [entry for entry in set(self._heap) if self._is_live(entry)]
            heapify(self._heap)
            self._clear_above = max(_CLEAR_ABOVE, 2 * len(self._heap))
        self.next = self._heap[0] >> ID_BITS if self._heap else _NEVER

    def pop(self, now: int) -> list[Order]:
        """Return the pending orders that expire at `now` or before, by (time, order id)."""
        expired: dict[int, Order] = {}
        heap = self._heap
        while heap and heap[0] >> ID_BITS <= now:
            entry = heappop(heap)
            if self._is_live(entry):
                order_id = entry & _ID_MASK
                expired[order_id] = self._orders[order_id]
        self.next = heap[0] >> ID_BITS if heap else _NEVER
        return list(expired.values())

    def _is_live(self, entry: int) -> bool:
        order = self._orders.get(entry & _ID_MASK)
        return (
            order is not None and order.status is _PENDING and order.expires_at == entry >> ID_BITS
        )
