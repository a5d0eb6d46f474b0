"""The broker that is soaked: a random book of every kind of terms there is, from a seed."""

from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random

from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    Group,
    GroupSymbol,
    Symbol,
    UserType,
)
from service.domain.sessions import parse_sessions
from service.scenario.instruments import Instrument, choose_instruments
from service.storage.importer import Opening

SYMBOLS = 14
# EURUSD to GBPJPY and EURCHF: profits in USD, JPY, CAD, CHF and GBP.
INSTRUMENTS = choose_instruments(SYMBOLS)
FOREX_WEEK = parse_sessions("America/New_York: Sun 17:05-Fri 16:55")
SESSIONS = {
    "US500": parse_sessions("America/New_York: Mon-Fri 09:30-16:00, Mon-Fri 16:15-16:55"),
    "XAUUSD": parse_sessions(
        "America/New_York: Sun 18:00-Mon 16:59, Mon 18:00-Tue 16:59, Tue 18:00-Wed 16:59, "
        "Wed 18:00-Thu 16:59, Thu 18:00-Fri 16:59"
    ),
}
ALWAYS_OPEN = "BTCUSD"
LEVERAGES = (Decimal(30), Decimal(100), Decimal(200), Decimal(500))

# Margin call, stop-out and hysteresis in percent.
_LEVELS = (
    ("100", "50", "5"),
    ("120", "80", "0"),
    ("80", "20", "10"),
    ("100", "100", "2.5"),
    ("60", "0", "5"),
    ("150", "30", "20"),
)


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to open."""

    account_id: int
    user_type: UserType
    group: str
    leverage: Decimal
    balance: Decimal


def random_book(random: Random, accounts: int) -> Opening:
    """Return symbols, groups, terms and accounts; nobody has orders yet."""
    groups = [_group(number, *levels) for number, levels in enumerate(_LEVELS)]
    return Opening(
        [_symbol(random, instrument) for instrument in INSTRUMENTS],
        groups,
        [random_terms(random, group.name, each) for group in groups for each in INSTRUMENTS],
        [_account(random, number, groups) for number in range(1, accounts + 1)],
        [],
    )


def _group(number: int, call: str, stop_out: str, hysteresis: str) -> Group:
    return Group(
        f"group-{number}",
        Decimal(call),
        Decimal(stop_out),
        negative_balance_protection=number % 3 != 2,
        fill_policy=tuple(FillPolicy)[number % 2],
        margin_call_hysteresis=Decimal(hysteresis),
    )


def _symbol(random: Random, instrument: Instrument) -> Symbol:
    symbol = instrument.symbol
    if symbol.name == ALWAYS_OPEN:
        return replace(symbol, triple_swap_weekday=None)
    return replace(
        symbol,
        sessions=SESSIONS.get(symbol.name, FOREX_WEEK),
        trigger_tolerance_points=random.choice((0, 0, 2)),
        triple_swap_weekday=random.choice((2, 2, 4)),
    )


def random_terms(random: Random, group: str, instrument: Instrument) -> GroupSymbol:
    """Return terms with a markup up to twice the usual spread."""
    is_percent = random.random() < 0.3
    return GroupSymbol(
        group,
        instrument.symbol.name,
        spread=Decimal(random.randint(0, 2 * instrument.spread)),
        spread_pip=Decimal(1).scaleb(-instrument.symbol.digits),
        commission_type=random.choice(tuple(CommissionType)),
        commission_value_type=tuple(CommissionValueType)[is_percent],
        commission=Decimal(random.choice(("0", "0.002") if is_percent else ("0", "3.5", "7"))),
        swap_long=Decimal(random.randint(-120, 20)).scaleb(-1),
        swap_short=Decimal(random.randint(-80, 40)).scaleb(-1),
        margin_factor=Decimal(random.choice(("1", "1", "0.5", "2"))),
    )


def _account(random: Random, account_id: int, groups: list[Group]) -> NewAccount:
    return NewAccount(
        account_id,
        random.choice(tuple(UserType)),
        random.choice(groups).name,
        random.choice(LEVERAGES),
        Decimal(random.randint(50_000, 5_000_000)).scaleb(-2),
    )
