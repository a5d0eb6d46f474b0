"""What would be stored of the engine's decisions: all that a restarted engine gets."""

from service.domain.corrections import CorrectDeal
from service.domain.decision import AccountState, Deal, DealEvent, Decision, Posting
from service.domain.order import CancelReason, OrderState, OrderStatus

LIVE = (OrderStatus.PENDING, OrderStatus.OPEN)


class Store:
    """Accounts, orders (`ended` ones apart) and deals by the decision that made them."""

    def __init__(self, accounts: dict[int, AccountState]) -> None:
        self.accounts = accounts
        self.orders: dict[int, OrderState] = {}
        self.ended: dict[int, OrderState] = {}
        self.deals: dict[int, tuple[int, Deal, tuple[Posting, ...]]] = {}

    def copy(self) -> "Store":
        """Return a store that changes on its own."""
        store = Store(dict(self.accounts))
        store.orders, store.ended = dict(self.orders), dict(self.ended)
        return store

    def take(self, decision: Decision) -> None:
        """Store a decision; its order must be as the decision expects."""
        self.accounts[decision.account.account_id] = decision.account
        order, deal = decision.order, decision.deal
        if order is None:
            return
        stored = self.orders.pop(order.order_id, None) or self.ended.pop(order.order_id, None)
        assert decision.expected == (None if stored is None else stored.status)
        if deal is not None:
            if deal.corrects is not None:
                del self.deals[deal.corrects]
            self.deals[decision.decision_id] = order.order_id, deal, decision.postings
        if order.status in LIVE:
            assert (order.close_price, order.close_time, order.reason) == (None, None, None)
            self.orders[order.order_id] = order
            return
        self.ended[order.order_id] = order
        assert deal is not None
        is_undone = deal.event is DealEvent.CORRECTION
        assert order.reason is (CancelReason.CORRECTED if is_undone else deal.reason)
        if order.status is OrderStatus.CLOSED:
            assert (order.close_price, order.close_time) == (deal.price, deal.time)

    def correction(self, number: int) -> CorrectDeal:
        """Return the command that takes a deal back."""
        order_id, deal, postings = self.deals[number]
        order = self.orders.get(order_id) or self.ended[order_id]
        return CorrectDeal(number, deal, order, postings)
