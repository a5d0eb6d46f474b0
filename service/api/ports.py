"""What the gateway needs of the rest of the service, as narrow as it uses it.

The gateway decides nothing: commands go as data to whoever has the account and are answered once
they are committed; reads go to the cache or PostgreSQL; settings and prices are in memory; what
happens comes from the board and the feed.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from service.domain.desk import Desk
from service.domain.exposure import NetExposure
from service.domain.instrument import Group, GroupSymbol, Symbol, TradingState, UserType
from service.domain.order import OrderStatus
from service.loops.commands import Command
from service.loops.loop_status import LoopStatus
from service.loops.portfolio import Portfolio
from service.loops.requests import Author, Taken
from service.storage.audit import AuditView
from service.storage.dealt import Dealt
from service.storage.reader import LedgerView
from service.storage.valuation import Valuation
from service.storage.views import AccountView, DealView, OrderView

Unsubscribe = Callable[[], None]


class Market(Protocol):
    """Settings and last prices; the desk's accounts and orders are nobody's business here."""

    @property
    def desk(self) -> Desk: ...


class Commands(Protocol):
    """The way to the engine that has an account; raises `Rejected`, `Unavailable`, `Withdrawn`."""

    async def take(self, account_id: int, key: str | None, command: Command) -> Taken:
        """Have a command decided and committed; a repeated key returns the first answer."""
        ...


class Administration(Protocol):
    """Settings and accounts: stored under the lease, then traded by.

    Raises `Rejected`, `Unavailable`, `Withdrawn`; what is changed is returned as it is now.
    """

    async def set_symbol(self, symbol: Symbol, author: Author) -> Symbol: ...

    async def set_group(self, group: Group, author: Author) -> Group: ...

    async def set_terms(self, settings: GroupSymbol, author: Author) -> GroupSymbol: ...

    async def set_symbol_state(self, name: str, state: TradingState, author: Author) -> Symbol: ...

    async def set_group_state(self, name: str, state: TradingState, author: Author) -> Group: ...

    async def create_account(
        self,
        account_id: int,
        user_type: UserType,
        group: str,
        leverage: Decimal,
        balance: Decimal,
        author: Author,
    ) -> None: ...

    async def exposure(self) -> Mapping[tuple[str, str], NetExposure]:
        """Return what all clients hold, by group and symbol."""
        ...


class Reader(Protocol):
    """Committed history from PostgreSQL, newest first; raises `Unreachable`."""

    async def account(self, account_id: int) -> AccountView | None: ...

    async def accounts(self, after: int, limit: int) -> list[AccountView]: ...

    async def orders(
        self,
        account_id: int,
        statuses: Collection[OrderStatus] | None,
        symbol: str | None,
        limit: int,
        before: int | None,
    ) -> list[OrderView]: ...

    async def order(self, account_id: int, order_id: int) -> OrderView | None: ...

    async def ledger(self, account_id: int, limit: int, before: int | None) -> list[LedgerView]: ...

    async def deals(self, account_id: int, limit: int, before: int | None) -> list[DealView]: ...

    async def dealt(self, deal_id: int) -> Dealt | None: ...

    async def audit(self, limit: int, before: int | None) -> list[AuditView]: ...


class Portfolios(Protocol):
    """Accounts as they stand, from the cache first (R1)."""

    async def static_orders(
        self, account_id: int
    ) -> tuple[AccountView, Sequence[OrderView]] | None: ...

    async def refresh(self, account_id: int) -> tuple[AccountView, Sequence[OrderView]] | None:
        """Read from the database and fill the cache; raises `Unreachable`."""
        ...

    async def process_portfolio_update(self, account_id: int) -> Portfolio | None: ...

    async def valuations(self, account_ids: Sequence[int]) -> dict[int, Valuation]:
        """Return what the portfolio job found accounts worth, of those it came to lately."""
        ...


class PriceBoard(Protocol):
    """Group prices: one serialised `quotes` message per group and interval."""

    def sequence(self, group: str) -> int:
        """Return the sequence of the group's last message, 0 before the first."""
        ...

    def subscribe(self, group: str, callback: Callable[[bytes], None]) -> Unsubscribe: ...


class EventFeed(Protocol):
    """What happens to accounts, as JSON of `EventView`."""

    def subscribe(
        self, account_id: int, after: int, callback: Callable[[bytes], None]
    ) -> Awaitable[Unsubscribe]:
        """Deliver every event with a sequence above `after`, in order, once."""
        ...


class Loops(Protocol):
    """The background loops of this process."""

    def statuses(self) -> Sequence[LoopStatus]:
        """Return how every loop is."""
        ...
