"""The markets of the runs: tables of symbols, groups, terms, sessions and times.

Prices stand near a base price of each symbol, in a range so small that most ticks trigger
something. Runs start seconds before what a clock can do to them: a rollover, the first one after a
change of clocks in New York, or the opening or closing of a session.
"""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    Group,
    GroupSymbol,
    InstrumentType,
    Symbol,
    TradingState,
)
from service.domain.sessions import Sessions
from tests.property.steps import Terms
from tests.property.valuation import SECOND


def _symbol(
    name: str, digits: int, size: str, pair: tuple[str, str], tolerance: int, triple: int | None
) -> Symbol:
    return Symbol(
        name,
        digits,
        Decimal(size),
        *pair,
        InstrumentType.FOREX,
        min_volume=100,
        max_volume=1_000_000,
        volume_step=100,
        trigger_tolerance_points=tolerance,
        triple_swap_weekday=triple,
    )


# A direct rate, an inverse one, a cross converted by it (with a tolerance), an index in EUR.
SYMBOLS = (
    _symbol("EURUSD", 4, "100000", ("EUR", "USD"), 0, 2),
    _symbol("USDJPY", 2, "100000", ("USD", "JPY"), 0, 3),
    _symbol("EURJPY", 2, "100000", ("EUR", "JPY"), 4, None),
    _symbol("DAX", 1, "25", ("DAX", "EUR"), 0, 4),
)
BASE_POINTS = (11_000, 15_000, 16_500, 180_000)
DIGITS = {symbol.name: symbol.digits for symbol in SYMBOLS}
NAMES = tuple(symbol.name for symbol in SYMBOLS)

GROUPS = ("gold", "silver")
_MARKET, _REQUESTED = FillPolicy.MARKET, FillPolicy.REQUESTED
# Margin call, stop-out and hysteresis in percent, negative balance protection, fill policy.
RULES = (
    ("100", "50", "5", True, _MARKET),
    ("100", "50", "5", False, _REQUESTED),
    ("120", "80", "0", True, _REQUESTED),
    ("90.5", "90.5", "30", False, _MARKET),
    ("50", "0", "12.5", True, _MARKET),
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
FACTORS = ("1", "0.5", "1.5")
SWAPS = (("0", "0"), ("-7.3", "2.15"), ("0.004", "-0.0045"), ("-120", "-35.5"))

STARTS = tuple(
    int(datetime(*each, tzinfo=UTC).timestamp()) * SECOND
    for each in (
        (2023, 11, 14, 22, 13, 50),  # Tuesday after the rollover
        (2024, 3, 6, 21, 59, 50),  # Wednesday before the rollover, winter
        (2024, 3, 8, 21, 59, 50),  # Friday; the clocks go forward on Sunday
        (2024, 3, 10, 20, 59, 50),  # Sunday, after they did
        (2024, 7, 4, 20, 59, 50),  # Thursday, summer
        (2024, 11, 1, 20, 59, 50),  # Friday; they go back on Sunday
        (2024, 11, 3, 21, 59, 50),  # Sunday, after they did
    )
)
WEEK = 7 * 24 * 60
DAY = 24 * 60


def sessions_of(kind: int, start: int) -> Sessions | None:
    """Return sessions that open or close in the first minute after a start, or none."""
    zone = ("", "UTC", "America/New_York", "Europe/Berlin")[kind]
    if not zone:
        return None
    wall = datetime.fromtimestamp(start // SECOND, ZoneInfo(zone))
    minute = wall.weekday() * DAY + wall.hour * 60 + wall.minute + 1
    opens: tuple[int, ...]
    if kind == 1:  # closed for two minutes
        opens, length = ((minute + 2) % WEEK,), WEEK - 2
    elif kind == 2:  # opens, but for half an hour a week
        opens, length = (minute % WEEK,), WEEK - 30
    else:  # closes, on five days of the week
        opens, length = tuple((minute - 480 + day * DAY) % WEEK for day in range(5)), 480
    return Sessions(zone, tuple((each, each + length) for each in sorted(opens)))


def group_of(group: int, rules: int, state: TradingState = TradingState.ACTIVE) -> Group:
    call, stop_out, hysteresis, protects, policy = RULES[rules]
    return Group(
        GROUPS[group],
        Decimal(call),
        Decimal(stop_out),
        protects,
        policy,
        Decimal(hysteresis),
        state,
    )


def group_symbol(group: int, symbol: int, terms: Terms) -> GroupSymbol:
    """Return the settings of a group's terms; a pip is ten points, so most spreads are broken."""
    kind, value_kind, rate = COMMISSIONS[terms.commission]
    swap_long, swap_short = SWAPS[terms.swap]
    return GroupSymbol(
        GROUPS[group],
        SYMBOLS[symbol].name,
        spread=Decimal(terms.markup) / 10,
        spread_pip=Decimal(1).scaleb(1 - SYMBOLS[symbol].digits),
        commission_type=kind,
        commission_value_type=value_kind,
        commission=Decimal(rate),
        swap_long=Decimal(swap_long),
        swap_short=Decimal(swap_short),
        margin_factor=Decimal(FACTORS[terms.factor]),
    )
