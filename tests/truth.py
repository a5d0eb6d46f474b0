"""A plain stand-in for the database: an account's committed truth, and the events it made."""

from decimal import Decimal

import msgspec

from service.domain.decision import EventKind
from service.domain.instrument import UserType
from service.domain.order import OrderStatus, OrderType
from service.storage.views import AccountView, EventView, OrderView


class Truth:
    """One account: its state after each sequence, and the event that led there."""

    def __init__(self, account_id: int, *, group: str = "gold") -> None:
        self.account_id = account_id
        self.group = group
        self.orders: dict[int, OrderView] = {}
        self.balance = Decimal("1000.00")
        self.margin = Decimal(0)
        self.in_margin_call = False
        self.history: list[tuple[AccountView, list[OrderView]]] = [self._state(0)]
        self.payloads: list[bytes] = []

    @property
    def sequence(self) -> int:
        return len(self.payloads)

    def snapshot(self) -> tuple[AccountView, list[OrderView]]:
        """Return the account with its live orders, as the database would now."""
        return self.history[-1]

    def events_after(self, sequence: int, limit: int) -> list[bytes]:
        """Return them as the database would: the newest where that is before `sequence`."""
        first = len(self.payloads) - 1 if sequence > len(self.payloads) > 0 else sequence
        return self.payloads[first : first + limit]

    def place(self, order_id: int) -> bytes:
        """Commit a pending order; return the event."""
        order = order_view(order_id, self.account_id)
        self.orders[order_id] = order
        return self._commit(EventKind.PLACED, order)

    def modify(self, order_id: int, price: str) -> bytes:
        order = msgspec.structs.replace(self.orders[order_id], price=price)
        self.orders[order_id] = order
        return self._commit(EventKind.MODIFIED, order)

    def open(self, order_id: int, margin: str) -> bytes:
        order = msgspec.structs.replace(
            self.orders[order_id],
            status=OrderStatus.OPEN,
            open_price="1.10000",
            opened_at="2026-01-05T10:00:00.000Z",
            margin=margin,
            commission="0.00",
        )
        self.orders[order_id] = order
        self.margin += Decimal(margin)
        return self._commit(EventKind.OPENED, order)

    def end(self, order_id: int) -> bytes:
        """Commit the end of an order; return the event."""
        order = msgspec.structs.replace(self.orders.pop(order_id), status=OrderStatus.CANCELLED)
        return self._commit(EventKind.CANCELLED, order)

    def fund(self, amount: str) -> bytes:
        self.balance += Decimal(amount)
        return self._commit(EventKind.DEPOSITED, None)

    def call_margin(self, in_margin_call: bool) -> bytes:
        self.in_margin_call = in_margin_call
        return self._commit(EventKind.MARGIN_CALLED, None)

    def _commit(self, kind: EventKind, order: OrderView | None) -> bytes:
        event = EventView(
            account_id=self.account_id,
            sequence=self.sequence + 1,
            kind=kind,
            balance=str(self.balance),
            margin=str(self.margin),
            order=order,
            deal=None,
            in_margin_call=self.in_margin_call,
        )
        self.payloads.append(msgspec.json.encode(event))
        self.history.append(self._state(event.sequence))
        return self.payloads[-1]

    def _state(self, sequence: int) -> tuple[AccountView, list[OrderView]]:
        account = AccountView(
            account_id=self.account_id,
            user_type=UserType.DEMO,
            group=self.group,
            leverage="100",
            balance=str(self.balance),
            margin=str(self.margin),
            sequence=sequence,
            in_margin_call=self.in_margin_call,
        )
        return account, [self.orders[key] for key in sorted(self.orders)]


def order_view(order_id: int, account_id: int, symbol: str = "EURUSD") -> OrderView:
    """Return a pending order."""
    return OrderView(
        order_id=order_id,
        account_id=account_id,
        client_order_id=None,
        symbol=symbol,
        type=OrderType.BUY_LIMIT,
        status=OrderStatus.PENDING,
        volume="0.10",
        price="1.10000",
        stop_loss=None,
        take_profit=None,
        placed_at="2026-01-05T09:00:00.000Z",
        open_price=None,
        opened_at=None,
        margin=None,
        commission=None,
        close_price=None,
        closed_at=None,
        profit=None,
        reason=None,
    )
