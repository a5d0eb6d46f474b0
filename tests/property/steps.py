"""What a run is made of: terms, accounts, orders and the steps that happen to them.

Symbols, groups, their rules, commissions, swaps, margin factors and times of the start are indices
of the tables in `markets`.
"""

from decimal import Decimal
from typing import NamedTuple

from service.domain.instrument import TradingState
from service.domain.order import OrderType


class Terms(NamedTuple):
    """A group's terms on a symbol."""

    markup: int
    commission: int = 0
    factor: int = 0
    swap: int = 0


class OrderPlan(NamedTuple):
    """An order: `offset` points from a price, SL and TP this far on their right side of it.

    A resting order is `offset` from the base price; one placed later `offset` from the last quote,
    on the side where it may rest. The limit price of a stop-limit is `limit` on its right side of
    the price; it expires after `life` seconds.
    """

    account: int
    symbol: int
    order_type: OrderType
    volume: int
    offset: int
    stop: int | None
    take: int | None
    limit: int = 2
    trailing: int | None = None
    life: int | None = None


class AccountPlan(NamedTuple):
    group: int
    leverage: int
    balance: str


class Tick(NamedTuple):
    symbol: int
    offset: int
    spread: int
    seconds: int


class Nudge(NamedTuple):
    """Quote a symbol `points` from its last bid."""

    symbol: int
    points: int
    spread: int


class Squeeze(NamedTuple):
    """Quote a symbol where the margin level of an account reaches a level, or `points` off it.

    `level` names one that means something to the account's group; `rises`: from below, else from
    above.
    """

    account: int
    symbol: int
    level: str
    points: int
    rises: bool


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
    """Close an order, or `part` of it."""

    which: int
    part: str | None = None


class Correct(NamedTuple):
    """Take back one of the last deals."""

    which: int


class Fund(NamedTuple):
    account: int
    amount: Decimal


class FundTo(NamedTuple):
    """Bring the equity of an account to a level by a deposit or a withdrawal, `cents` apart."""

    account: int
    level: str
    cents: int


class ChangeTerms(NamedTuple):
    group: int
    symbol: int
    terms: Terms


class ChangeGroup(NamedTuple):
    """Change a group's rules and its trading state."""

    group: int
    rules: int
    state: TradingState


class ChangeSymbol(NamedTuple):
    """Change a symbol's trading state."""

    symbol: int
    state: TradingState


class Wait(NamedTuple):
    """Let the last quotes grow too old to deal at."""


class Jump(NamedTuple):
    """Let `seconds` go by; `to_rollover`: from the next rollover on, or before it."""

    seconds: int
    to_rollover: bool


class Expire(NamedTuple):
    """Look for what has expired, as a loop does."""


class ChargeSwaps(NamedTuple):
    """Look which positions owe a swap; `charge`: and charge it."""

    charge: bool


class Sweep(NamedTuple):
    """Judge every live order against the last quotes, as the timed sweeps do."""


class Restart(NamedTuple):
    """Go on with a new engine, loaded from what was stored; a replay still has its quotes."""

    keeps_quotes: bool


Step = (
    Tick
    | Nudge
    | Squeeze
    | BadTick
    | Place
    | FundAndPlace
    | Modify
    | Cancel
    | Close
    | Correct
    | Fund
    | FundTo
    | ChangeTerms
    | ChangeGroup
    | ChangeSymbol
    | Wait
    | Jump
    | Expire
    | ChargeSwaps
    | Sweep
    | Restart
)


class Setting(NamedTuple):
    """When a run starts and on what.

    `rules` of each group, `sessions` of each symbol. `quoted` are the symbols with a first tick
    before all else.
    """

    start: int
    rules: tuple[int, ...]
    sessions: tuple[int, ...]
    terms: tuple[Terms, ...]
    accounts: tuple[AccountPlan, ...]
    quoted: tuple[int, ...]


class Run(NamedTuple):
    """`resting` are the orders placed before the first tick; a replay has no commands."""

    setting: Setting
    resting: list[OrderPlan]
    steps: list[Step]
    is_replay: bool = False
