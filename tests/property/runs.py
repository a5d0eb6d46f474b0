"""Runs: a small market with its accounts and orders, and what happens to it.

Prices are offsets in points from a base price of the symbol, in a range so small that most ticks
trigger something. Balances are such that margin is often just enough, equal, or a cent short.
"""

from collections.abc import Callable
from decimal import Decimal
from random import Random

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
from tests.property.steps import (
    AccountPlan,
    BadTick,
    Cancel,
    ChangeTerms,
    Close,
    Fund,
    FundAndPlace,
    Modify,
    OrderPlan,
    Place,
    Restart,
    Run,
    Setting,
    Step,
    Sweep,
    Terms,
    Tick,
    Wait,
)


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
    _symbol("EURJPY", 2, "100000", "EUR", "JPY", 4),
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
ACCOUNTS = 3
LEVERAGES = (100, 500, 3)
VOLUMES = (100, 1_000, 2_500, 10_000, 30_000, 100_000)
BAD_VOLUMES = (0, 150, 1_000_100)


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


# Drawn from a `Random`, so that hypothesis can shrink a run (`st.randoms`) and a seed repeat one.


def make_run(random: Random) -> Run:
    """Draw a run."""
    resting = [make_resting(random) for _ in range(random.randint(0, 8))]
    steps = [make_step(random) for _ in range(random.randint(10, 60))]
    return Run(make_setting(random), resting, steps)


def make_setting(random: Random) -> Setting:
    """Draw terms, accounts and which symbols are quoted from the start."""
    return Setting(
        tuple(_terms(random) for _ in range(len(GROUPS) * len(SYMBOLS))),
        tuple(
            AccountPlan(random.randint(0, 1), random.choice(LEVERAGES), random.choice(BALANCES))
            for _ in range(ACCOUNTS)
        ),
        random.choice(((0, 1, 2, 3), (0, 1, 2, 3), (3, 2, 0), (2, 1), ())),
    )


def make_step(random: Random) -> Step:
    return _STEPS[random.choice(_CHOICES)](random)


def _terms(random: Random) -> Terms:
    return Terms(random.randint(0, 7), random.randint(0, 6), random.choice((0, 0, 0, 1, 2)))


def make_resting(random: Random) -> OrderPlan:
    levels = (None, 1, 2, 3, 5)
    return OrderPlan(
        random.randrange(ACCOUNTS),
        random.choice(_SYMBOL),
        random.choice(_TYPES),
        random.choice(VOLUMES),
        random.randint(-8, 8),
        random.choice(levels),
        random.choice(levels),
    )


def _plan(random: Random) -> OrderPlan:
    return OrderPlan(
        random.randrange(ACCOUNTS),
        random.choice(_SYMBOL),
        random.choice(_TYPES),
        random.choice(BAD_VOLUMES if random.randrange(20) == 0 else VOLUMES),
        random.choice((1, 2, 3, 4, 5, 6, 8, -1, 0)),
        random.choice(_DISTANCE),
        random.choice(_DISTANCE),
    )


def make_tick(random: Random) -> Tick:
    spread = random.choice((0, 1, 2, 3, 30))
    return Tick(random.choice(_SYMBOL), random.randint(-8, 8), spread, random.randint(0, 1))


def _modify(random: Random) -> Modify:
    which, changes = random.randint(0, 11), random.choice(_CHANGES)
    stray = random.randrange(4) == 0
    return Modify(which, changes, _plan(random), random.choice((False, True)), stray)


def _fund(random: Random) -> Fund:
    amount = Decimal(random.choice((random.randint(-300_000, 300_000), 0, Decimal("0.5")))) / 100
    return Fund(random.choice((0, 0, 1, 1, 2, 2, ACCOUNTS)), amount)


_SYMBOL = (0, 0, 0, 1, 2, 2, 2, 3)
_TYPES = tuple(OrderType)
_DISTANCE = (None, None, None, 2, 3, 4, 5, 6, 8, 1, 1, 0, -2)
_CHANGES = (
    frozenset({"price"}),
    frozenset({"price"}),
    frozenset({"stop_loss"}),
    frozenset({"take_profit"}),
    frozenset({"stop_loss", "take_profit"}),
    frozenset({"stop_loss", "take_profit"}),
    frozenset({"volume"}),
    frozenset({"price", "volume", "stop_loss", "take_profit"}),
)
_FAULTS = ("crossed", "zero", "negative", "late", "unknown", "stale", "aged", "ahead", "future")
_WEIGHTED: tuple[tuple[int, Callable[[Random], Step]], ...] = (
    (36, make_tick),
    (12, lambda random: Place(_plan(random))),
    (8, _modify),
    (8, lambda random: FundAndPlace(_plan(random), random.randint(-1, 1))),
    (2, lambda random: Cancel(random.randint(0, 11))),
    (2, lambda random: Close(random.randint(0, 11))),
    (2, _fund),
    (4, lambda random: ChangeTerms(random.randint(0, 1), random.choice(_SYMBOL), _terms(random))),
    (2, lambda random: BadTick(random.choice(_SYMBOL), 0, random.choice(_FAULTS))),
    (1, lambda random: Wait()),
    (4, lambda random: Sweep()),
    (2, lambda random: Restart(random.choice((True, False)))),
)
_STEPS = tuple(make for _, make in _WEIGHTED)
_CHOICES = tuple(which for which, (weight, _) in enumerate(_WEIGHTED) for _ in range(weight))
