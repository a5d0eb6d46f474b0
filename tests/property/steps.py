"""What a run is made of: terms, accounts, orders and the steps that happen to them.

Symbols, groups, commissions and margin factors are indices of the tables in `runs`.
"""

from decimal import Decimal
from typing import NamedTuple

from service.domain.order import OrderType


class Terms(NamedTuple):
    """A group's terms on a symbol."""

    markup: int
    commission: int = 0
    factor: int = 0


class OrderPlan(NamedTuple):
    """An order: `offset` points from a price, SL and TP this far on their right side of it.

    A resting order is `offset` from the base price; one placed later `offset` from the last quote,
    on the side where it may rest.
    """

    account: int
    symbol: int
    order_type: OrderType
    volume: int
    offset: int
    stop: int | None
    take: int | None


class AccountPlan(NamedTuple):
    group: int
    leverage: int
    balance: str


class Tick(NamedTuple):
    symbol: int
    offset: int
    spread: int
    seconds: int


class BadTick(NamedTuple):
    symbol: int
    offset: int
    fault: str


class Place(NamedTuple):
    plan: OrderPlan


class FundAndPlace(NamedTuple):
    """Fund the account so that it has just the margin for a market order, `cents` apart."""

    plan: OrderPlan
    cents: int


class Modify(NamedTuple):
    """Change `changes` of the live order number `which`; `back` changes them back at once.

    `stray`: price and volume of a position too.
    """

    which: int
    changes: frozenset[str]
    plan: OrderPlan
    back: bool
    stray: bool


class Cancel(NamedTuple):
    which: int


class Close(NamedTuple):
    which: int


class Fund(NamedTuple):
    account: int
    amount: Decimal


class ChangeTerms(NamedTuple):
    group: int
    symbol: int
    terms: Terms


class Wait(NamedTuple):
    """Let the last quotes grow too old to deal at."""


class Sweep(NamedTuple):
    """Judge every live order against the last quotes, as the timed sweeps do."""


class Restart(NamedTuple):
    """Go on with a new engine, loaded from what was stored; a replay still has its quotes."""

    keeps_quotes: bool


Step = (
    Tick
    | BadTick
    | Place
    | FundAndPlace
    | Modify
    | Cancel
    | Close
    | Fund
    | ChangeTerms
    | Wait
    | Sweep
    | Restart
)


class Setting(NamedTuple):
    """`quoted` are the symbols with a first tick before all else."""

    terms: tuple[Terms, ...]
    accounts: tuple[AccountPlan, ...]
    quoted: tuple[int, ...]


class Run(NamedTuple):
    """`resting` are the orders placed before the first tick."""

    setting: Setting
    resting: list[OrderPlan]
    steps: list[Step]
