"""Decisions as a desk makes them, without the desk."""

from decimal import Decimal

from service.domain.decision import (
    AccountState,
    Deal,
    DealEvent,
    Decision,
    EventKind,
    Posting,
    PostingKind,
)
from service.domain.money import EXACT
from service.domain.order import CloseReason, OrderState, OrderStatus, OrderType

TIME = 1_700_000_000_000_000_000
ZERO = Decimal(0)
_ZERO_CENTS = Decimal("0.00")


def state_of(order_id: int, account_id: int, status: OrderStatus) -> OrderState:
    """Return an order as it stands in a status: 0.01 lot EURUSD, bought at 1.10000."""
    opened = status in (OrderStatus.OPEN, OrderStatus.CLOSED)
    closed = status is OrderStatus.CLOSED
    return OrderState(
        order_id=order_id,
        account_id=account_id,
        client_order_id=None,
        symbol="EURUSD",
        order_type=OrderType.BUY_LIMIT,
        status=status,
        volume=100,
        price=110_000,
        stop_loss=None,
        take_profit=None,
        trigger=110_000,
        stop_loss_trigger=None,
        take_profit_trigger=None,
        placed_time=TIME,
        open_price=110_000 if opened else None,
        open_time=TIME if opened else None,
        open_tick=1 if opened else None,
        margin=Decimal("11.00") if opened else None,
        commission=_ZERO_CENTS if opened else None,
        close_price=110_100 if closed else None,
        close_time=TIME if closed else None,
        profit=Decimal("1.00") if closed else None,
        reason=CloseReason.TAKE_PROFIT if closed else None,
    )


class Clerk:
    """Numbers decisions, and keeps the balances of accounts from 1,000.00 on."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self._accounts: dict[int, AccountState] = {}

    def place(self, order_id: int, account_id: int = 1, key: str | None = None) -> Decision:
        order = state_of(order_id, account_id, OrderStatus.PENDING)
        return self._decide(EventKind.PLACED, account_id, order, None, None, (), key=key)

    def open(
        self,
        order_id: int,
        account_id: int = 1,
        *,
        commission: Decimal = _ZERO_CENTS,
        margin: Decimal = Decimal("11.00"),
    ) -> Decision:
        order = state_of(order_id, account_id, OrderStatus.OPEN)._replace(
            commission=commission, margin=margin
        )
        return self._decide(
            EventKind.OPENED,
            account_id,
            order,
            OrderStatus.PENDING,
            (DealEvent.OPEN, OrderType.BUY_LIMIT, ZERO, commission),
            ((PostingKind.COMMISSION, -commission),),
            margin=margin,
        )

    def close(
        self,
        order_id: int,
        account_id: int = 1,
        *,
        profit: Decimal = Decimal("1.00"),
        commission: Decimal = _ZERO_CENTS,
    ) -> Decision:
        order = state_of(order_id, account_id, OrderStatus.CLOSED)._replace(profit=profit)
        return self._decide(
            EventKind.CLOSED,
            account_id,
            order,
            OrderStatus.OPEN,
            (DealEvent.CLOSE, CloseReason.TAKE_PROFIT, profit, commission),
            ((PostingKind.PROFIT, profit), (PostingKind.COMMISSION, -commission)),
        )

    def fund(self, amount: Decimal, account_id: int = 1, key: str | None = None) -> Decision:
        postings = ((PostingKind.DEPOSIT, amount),)
        return self._decide(EventKind.DEPOSITED, account_id, None, None, None, postings, key=key)

    def _decide(
        self,
        kind: EventKind,
        account_id: int,
        order: OrderState | None,
        expected: OrderStatus | None,
        dealt: tuple[DealEvent, OrderType | CloseReason, Decimal, Decimal] | None,
        amounts: tuple[tuple[PostingKind, Decimal], ...],
        *,
        margin: Decimal = ZERO,
        key: str | None = None,
    ) -> Decision:
        before = self._accounts.get(account_id)
        balance = Decimal("1000.00") if before is None else before.balance
        sequence = 0 if before is None else before.sequence
        postings = []
        for posting, amount in amounts:
            if amount:
                balance = EXACT.add(balance, amount)
                postings.append(Posting(posting, amount, balance))
        account = AccountState(account_id, sequence + 1, balance, margin)
        self._accounts[account_id] = account
        deal = None
        if dealt is not None:
            event, reason, profit, commission = dealt
            deal = Deal(
                event, reason, 100, 110_000, 0, profit, commission, balance, 110_000, 110_000, TIME
            )
        number = len(self.decisions) + 1
        decision = Decision(
            number, 10 + number, TIME, kind, account, order, expected, deal, tuple(postings), key
        )
        self.decisions.append(decision)
        return decision
