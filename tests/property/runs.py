"""Runs: a small market with its accounts and orders, and what happens to it, for hypothesis.

Prices are offsets in points from a base price of the symbol, in a range so small that most ticks
trigger something. Balances are such that margin is often just enough, equal, or a cent short.
"""

from decimal import Decimal
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    Group,
    GroupSymbol,
    InstrumentType,
    Symbol,
)
from service.domain.order import OrderType


def _symbol(name: str, digits: int, size: str, base: str, profit: str, tolerance: int) -> Symbol:
    return Symbol(
        name,
        digits,
        Decimal(size),
        base,
        profit,
        InstrumentType.FOREX,
        min_volume=100,
        max_volume=1_000_000,
        volume_step=100,
        trigger_tolerance_points=tolerance,
    )


# A direct rate, an inverse one, a cross converted by it (with a tolerance), an index in EUR.
SYMBOLS = (
    _symbol("EURUSD", 4, "100000", "EUR", "USD", 0),
    _symbol("USDJPY", 2, "100000", "USD", "JPY", 0),
    _symbol("EURJPY", 2, "100000", "EUR", "JPY", 2),
    _symbol("DAX", 1, "25", "DAX", "EUR", 0),
)
BASE_POINTS = (11_000, 15_000, 16_500, 180_000)
DIGITS = {symbol.name: symbol.digits for symbol in SYMBOLS}
GROUPS = (
    Group("gold", Decimal(100), Decimal(50), True, FillPolicy.MARKET),
    Group("silver", Decimal(100), Decimal(50), False, FillPolicy.REQUESTED),
)
_E, _X, _EX = CommissionType.ENTRY, CommissionType.EXIT, CommissionType.ENTRY_AND_EXIT
_LOT, _PERCENT = CommissionValueType.PER_LOT, CommissionValueType.PERCENT
COMMISSIONS = (
    (_E, _LOT, "0"),
    (_E, _LOT, "3.5"),
    (_X, _LOT, "7.25"),
    (_EX, _LOT, "2.005"),
    (_E, _PERCENT, "0.0031"),
    (_X, _PERCENT, "0.005"),
    (_EX, _PERCENT, "0.0023"),
)
BALANCES = (
    *["1000000"] * 8,
    "110000",
    "110000",
    "36666.67",
    "5000",
    "2200",
    "1100",
    "110",
    "11",
    "0",
)
LEVERAGES = (100, 500, 3)
VOLUMES = (100, 700, 1_000, 2_500, 10_000, 30_000)
BAD_VOLUMES = (0, 150, 1_000_100)


class Terms(NamedTuple):
    """A group's terms on a symbol; `commission` and `factor` are indices of tables above."""

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


class Run(NamedTuple):
    """`quoted` are the symbols with a first tick, `resting` the orders placed before it."""

    terms: tuple[Terms, ...]
    accounts: tuple[AccountPlan, ...]
    quoted: tuple[int, ...]
    resting: list[OrderPlan]
    steps: list[Step]


def group_symbol(group: int, symbol: int, terms: Terms) -> GroupSymbol:
    """Return the settings of a group's terms; a pip is ten points, so most spreads are broken."""
    kind, value_kind, rate = COMMISSIONS[terms.commission]
    return GroupSymbol(
        GROUPS[group].name,
        SYMBOLS[symbol].name,
        spread=Decimal(terms.markup) / 10,
        spread_pip=Decimal(1).scaleb(1 - SYMBOLS[symbol].digits),
        commission_type=kind,
        commission_value_type=value_kind,
        commission=Decimal(rate),
        swap_long=Decimal(0),
        swap_short=Decimal(0),
        margin_factor=Decimal(("1", "0.5", "1.5")[terms.factor]),
    )


def _whole(low: int, high: int) -> SearchStrategy[int]:
    return st.integers(low, high)


_WHICH = _whole(0, 11)
_SYMBOL = st.sampled_from((0, 0, 0, 1, 1, 2, 2, 3))
_OFFSET = _whole(-8, 8)
_DISTANCE = st.sampled_from((None, None, None, 2, 3, 4, 5, 6, 8, 1, 1, 0, -2))
_PLAN = st.builds(
    OrderPlan,
    _whole(0, 2),
    _SYMBOL,
    st.sampled_from(OrderType),
    st.sampled_from((*VOLUMES, *VOLUMES, *VOLUMES, *BAD_VOLUMES)),
    st.sampled_from((1, 2, 3, 4, 5, 6, 8, -1)),
    _DISTANCE,
    _DISTANCE,
)
_RESTING = st.builds(
    OrderPlan,
    _whole(0, 2),
    _SYMBOL,
    st.sampled_from(OrderType),
    st.sampled_from(VOLUMES),
    _OFFSET,
    st.sampled_from((None, 1, 2, 3, 5)),
    st.sampled_from((None, 1, 2, 3, 5)),
)
_TERMS = st.builds(Terms, _whole(0, 7), _whole(0, 6), st.sampled_from((0, 0, 0, 1, 2)))
_TICK = st.builds(Tick, _SYMBOL, _OFFSET, st.sampled_from((0, 1, 2, 3, 30)), _whole(0, 1))
_CHANGES = st.sampled_from(
    (
        frozenset({"price"}),
        frozenset({"price"}),
        frozenset({"stop_loss"}),
        frozenset({"take_profit"}),
        frozenset({"stop_loss", "take_profit"}),
        frozenset({"stop_loss", "take_profit"}),
        frozenset({"volume"}),
        frozenset({"price", "volume", "stop_loss", "take_profit"}),
    )
)
_AMOUNT = st.decimals("-3000", "3000", places=2)
_FAULT = st.sampled_from(
    ("crossed", "zero", "negative", "late", "unknown", "stale", "aged", "ahead", "future")
)
_MODIFY = st.builds(
    Modify, _WHICH, _CHANGES, _PLAN, st.booleans(), st.sampled_from((False, False, False, True))
)
# A choice by weight: `one_of` would count each strategy once.
_WEIGHTED: tuple[tuple[int, SearchStrategy[Step]], ...] = (
    (32, _TICK),
    (12, st.builds(Place, _PLAN)),
    (8, _MODIFY),
    (3, st.builds(FundAndPlace, _PLAN, _whole(-1, 1))),
    (2, st.builds(Cancel, _WHICH)),
    (2, st.builds(Close, _WHICH)),
    (2, st.builds(Fund, st.sampled_from((0, 0, 1, 1, 2, 2, 3)), _AMOUNT)),
    (4, st.builds(ChangeTerms, _whole(0, 1), _SYMBOL, _TERMS)),
    (2, st.builds(BadTick, _SYMBOL, _OFFSET, _FAULT)),
    (1, st.just(Wait())),
    (5, st.just(Sweep())),
    (2, st.builds(Restart, st.booleans())),
)
_CHOICES = tuple(strategy for weight, strategy in _WEIGHTED for _ in range(weight))
_STEP = st.sampled_from(range(len(_CHOICES))).flatmap(_CHOICES.__getitem__)
RUNS: SearchStrategy[Run] = st.builds(
    Run,
    st.tuples(*[_TERMS] * (len(GROUPS) * len(SYMBOLS))),
    st.tuples(
        *[
            st.builds(
                AccountPlan, _whole(0, 1), st.sampled_from(LEVERAGES), st.sampled_from(BALANCES)
            )
        ]
        * 3
    ),
    st.sampled_from(((0, 1, 2, 3), (0, 1, 2, 3), (3, 2, 0), (2, 1), ())),
    st.lists(_RESTING, max_size=8),
    st.lists(_STEP, min_size=20, max_size=50),
)
