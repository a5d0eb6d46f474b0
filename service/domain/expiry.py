"""When pending orders expire: a heap of times, asked with one comparison a tick.

Removal is lazy: an order that was opened, ended or given another time leaves its entry behind,
which is dropped when its time comes.
"""

from collections.abc import Mapping
from heapq import heappop, heappush

from service.domain.book import ID_BITS
from service.domain.order import Order, OrderStatus

_ID_MASK = (1 << ID_BITS) - 1
_NEVER = 1 << 62
_PENDING = OrderStatus.PENDING


class ExpiryQueue:
    """Expiry times of pending orders; `next` is the earliest, ns UTC."""

    __slots__ = ("_heap", "next")

    def __init__(self) -> None:
        self._heap: list[int] = []
        self.next = _NEVER

    def add(self, order: Order) -> None:
        """Remember when an order expires."""
        assert order.expires_at is not None
        heappush(self._heap, order.expires_at << ID_BITS | order.order_id)
        self.next = self._heap[0] >> ID_BITS

    def pop(self, now: int, orders: Mapping[int, Order]) -> list[Order]:
        """Return the pending orders that expire at `now` or before, by (time, order id)."""
        expired: dict[int, Order] = {}
        heap = self._heap
        while heap and (time := heap[0] >> ID_BITS) <= now:
            order = orders.get(heappop(heap) & _ID_MASK)
            if order is not None and order.status is _PENDING and order.expires_at == time:
                expired[order.order_id] = order
        self.next = heap[0] >> ID_BITS if heap else _NEVER
        return list(expired.values())
