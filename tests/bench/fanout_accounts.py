"""Who listens in the fan-out benchmark: accounts with open positions, a market that moves them all.

Every account holds the same positions, and ids and sequences have the same number of digits, so
that what a socket is sent has the same length for each of them. The market goes to and fro between
two sets of quotes: with each step every position is worth something else.
"""

from collections.abc import Callable, Sequence

import msgspec

from service.api.committed_account import CommittedAccount
from service.api.frames import Frame
from service.api.ports import Unsubscribe
from service.domain.commands import CommandDesk
from service.domain.desk import Desk
from service.domain.instructions import PlaceOrder
from service.domain.instrument import UserType
from service.domain.order import OrderType
from service.domain.quote import Quote, QuoteGuard
from service.loops.portfolio import Portfolio
from service.loops.prices import PricesMessage
from service.storage.group_views import price_view
from service.storage.valuation import Valuation
from service.storage.views import AccountView, OrderView
from tests.bench.brokerage import (
    INSTRUMENTS,
    LOT,
    OPENED_NS,
    BenchAccount,
    desk_with_settings,
    seat,
)
from tests.trading_desk import committed

GROUP = "group-7"
FIRST_ACCOUNT = 1_000
MOVING = [instrument.symbol.name for instrument in INSTRUMENTS[:5]]
STEP_POINTS = 7
FIRST_SEQUENCE = 10**9

_FIRST_ORDER = 100_000
_TYPES = (OrderType.BUY, OrderType.SELL)


class Listeners:
    """Accounts `FIRST_ACCOUNT` and up, in one group, with a position in each symbol that moves.

    Nothing ever happens to them: they stand in for what reads accounts and tells of events.
    """

    def __init__(self, count: int) -> None:
        self.desk = desk_with_settings()
        self.move(0)
        ids = range(FIRST_ACCOUNT, FIRST_ACCOUNT + count)
        seat(self.desk, iter([BenchAccount(each, UserType.LIVE, GROUP) for each in ids]))
        self.desk.next_order_id = _FIRST_ORDER
        self._found = {each: self._with_positions(each) for each in ids}

    def _with_positions(self, account_id: int) -> tuple[AccountView, list[OrderView]]:
        # A desk of its own: finding the orders of one among those of all would take minutes.
        desk, shared = Desk(), self.desk
        desk.markets, desk.groups, desk.terms = shared.markets, shared.groups, shared.terms
        desk.accounts[account_id] = self.desk.accounts[account_id]
        desk.next_order_id = _FIRST_ORDER + (account_id - FIRST_ACCOUNT) * len(MOVING)
        commands = CommandDesk(desk, QuoteGuard())
        for number, symbol in enumerate(MOVING):
            order_type = _TYPES[number % len(_TYPES)]
            commands.place(PlaceOrder(account_id, symbol, order_type, LOT, None), OPENED_NS)
        return committed(desk, account_id)

    def move(self, step: int) -> None:
        """Take the quotes of a step: those of all even ones are the same, and of all odd ones."""
        points = STEP_POINTS * (step % 2)
        for symbol, mid, spread, *_ in INSTRUMENTS[: len(MOVING)]:
            bid = mid - spread // 2 + points
            self.desk.markets[symbol.name].take(Quote(symbol.name, bid, bid + spread, OPENED_NS))

    def prices(self, sequence: int) -> bytes:
        """Return the present prices of what moves, as a message."""
        views = [price_view(self.desk.terms[GROUP, name]) for name in MOVING]
        quotes = [view for view in views if view is not None]
        return msgspec.json.encode(PricesMessage(group=GROUP, sequence=sequence, quotes=quotes))

    def portfolio(self) -> bytes:
        """Return what the first account is worth at present, as a message."""
        portfolio = CommittedAccount(*self._found[FIRST_ACCOUNT]).portfolio(self.desk)
        assert portfolio is not None
        return msgspec.json.encode(portfolio)

    async def static_orders(self, account_id: int) -> tuple[AccountView, list[OrderView]]:
        return self._found[account_id]

    async def refresh(self, account_id: int) -> tuple[AccountView, list[OrderView]]:
        return self._found[account_id]

    async def process_portfolio_update(self, account_id: int) -> Portfolio | None:
        return None

    async def valuations(self, account_ids: Sequence[int]) -> dict[int, Valuation]:
        return {}

    async def subscribe(
        self, account_id: int, after: int, callback: Callable[[bytes], None]
    ) -> Unsubscribe:
        return lambda: None


def turn_bytes(count: int, *, with_portfolios: bool) -> int:
    """Return how much a socket is sent in a turn of `count` steps."""
    listeners = Listeners(1)
    total = 0
    for step in range(count):
        listeners.move(step + 1)
        sent = [listeners.prices(FIRST_SEQUENCE + step)]
        if with_portfolios:
            sent.append(listeners.portfolio())
        total += sum(len(Frame(message).for_window(0)) for message in sent)
    return total
