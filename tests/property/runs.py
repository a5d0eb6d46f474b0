"""Runs: a small market with its accounts and orders, and what happens to it.

Drawn from a `Random`, so that hypothesis can shrink a run (`st.randoms`) and a seed repeat one.
Balances are such that margin is often just enough, equal, or a cent short.
"""

from collections.abc import Callable
from decimal import Decimal
from random import Random

from service.domain.instrument import TradingState
from service.domain.order import OrderType
from tests.property.markets import GROUPS, RULES, STARTS, SWAPS, SYMBOLS
from tests.property.steps import (
    AccountPlan,
    BadTick,
    Cancel,
    ChangeGroup,
    ChangeSymbol,
    ChangeTerms,
    ChargeSwaps,
    Close,
    Correct,
    Expire,
    Fund,
    FundAndPlace,
    FundTo,
    Jump,
    Modify,
    Nudge,
    OrderPlan,
    Place,
    Restart,
    Run,
    Setting,
    Squeeze,
    Step,
    Sweep,
    Terms,
    Tick,
    Wait,
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
PARTS = (
    "half",
    "half",
    "step",
    "all but a step",
    "all",
    "more",
    "too little",
    "all but too little",
)
LEVELS = ("margin call", "stop-out", "recovery", "nothing left", "debt")


def make_run(random: Random) -> Run:
    """Draw a run, one in four of them a replay, one in eight a night."""
    match random.randrange(8):
        case 0 | 1:
            return make_replay(random)
        case 2:
            return make_night(random)
    resting = [make_resting(random) for _ in range(random.randint(0, 8))]
    steps = [make_step(random) for _ in range(random.randint(10, 60))]
    return Run(make_setting(random), resting, steps)


def make_replay(random: Random) -> Run:
    """Draw a run that nobody trades in: orders rest, and quotes come."""
    resting = [make_resting(random) for _ in range(random.randint(4, 16))]
    if random.randrange(2) == 0:
        resting = [plan._replace(account=0) for plan in resting]
    makers = [_STEPS[random.choice(_CHOICES)] for _ in range(random.randint(10, 80))]
    steps: list[Step] = [make(random) for make in makers if make in _REPLAYED]
    setting = make_setting(random)
    poor = tuple(plan._replace(balance=random.choice(BALANCES[8:])) for plan in setting.accounts)
    return Run(setting._replace(accounts=poor), resting, steps, is_replay=True)


def make_night(random: Random) -> Run:
    """Draw a run of a rich account over rollovers, whose deals are taken back now and then."""
    setting = make_setting(random)
    terms = tuple(each._replace(swap=random.choice((1, 3))) for each in setting.terms)
    rich = tuple(plan._replace(balance="1000000") for plan in setting.accounts)
    steps: list[Step] = []
    for _ in range(random.randint(5, 15)):
        plan = make_plan(random)._replace(account=0, stop=None, take=None, trailing=None)
        steps += [make_tick(random)._replace(symbol=plan.symbol), FundAndPlace(plan, 100_000)]
        steps += [_STEPS[random.choice(_AT_NIGHT)](random) for _ in range(4)]
    setting = setting._replace(terms=terms, accounts=rich, sessions=(0, 0, 0, 0))
    return Run(setting._replace(quoted=(0, 1, 2, 3)), [], steps)


def make_setting(random: Random) -> Setting:
    """Draw start, terms, accounts and which symbols are quoted from the start."""
    return Setting(
        random.randrange(len(STARTS)),
        tuple(random.randrange(len(RULES)) for _ in GROUPS),
        tuple(random.choice(_SESSIONS) for _ in SYMBOLS),
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
    return Terms(
        random.randint(0, 7),
        random.randint(0, 6),
        random.choice((0, 0, 0, 1, 2)),
        random.randrange(len(SWAPS)),
    )


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
        random.choice((1, 2, 3)),
        random.choice((None, None, None, 1, 2, 4, 6)),
        random.choice((None, None, None, 1, 3, 9)),
    )


def make_plan(random: Random) -> OrderPlan:
    """Draw an order that a client places, mostly one that can be."""
    return OrderPlan(
        random.randrange(ACCOUNTS),
        random.choice(_SYMBOL),
        random.choice(_TYPES),
        random.choice(BAD_VOLUMES if random.randrange(20) == 0 else VOLUMES),
        random.choice((1, 2, 3, 4, 5, 6, 8, -1, 0)),
        random.choice(_DISTANCE),
        random.choice(_DISTANCE),
        random.choice((1, 2, 3, 4, 0)),
        random.choice((None, None, None, None, None, 1, 2, 3, 5, 8, 0)),
        random.choice((None, None, None, None, None, 1, 2, 5, 9, 0)),
    )


def make_tick(random: Random) -> Tick:
    spread = random.choice((0, 1, 2, 3, 30))
    return Tick(random.choice(_SYMBOL), random.randint(-8, 8), spread, random.randint(0, 1))


def make_nudge(random: Random) -> Nudge:
    """Draw a small move."""
    return Nudge(
        random.choice(_SYMBOL),
        random.choice((-3, -1, -1, 0, 1, 1, 3)),
        random.choice((0, 1, 1, 2, 9)),
    )


def make_squeeze(random: Random, accounts: int = ACCOUNTS) -> Squeeze:
    """Draw a quote that brings one of some accounts to a level."""
    points = random.choice((0, 0, -1, 1, 3))
    level = random.choice(LEVELS)
    return Squeeze(
        random.randrange(accounts),
        random.choice(_SYMBOL),
        level,
        points,
        level == "recovery" or random.randrange(8) == 0,
    )


def _modify(random: Random) -> Modify:
    which, changes = random.randint(0, 11), random.choice(_CHANGES)
    stray = random.randrange(4) == 0
    return Modify(which, changes, make_plan(random), random.choice((False, True)), stray)


def _close(random: Random) -> Close:
    return Close(random.randint(0, 11), random.choice((None, *PARTS)))


def _correct(random: Random) -> Correct:
    return Correct(random.randint(0, 3))


def _charge_swaps(random: Random) -> ChargeSwaps:
    return ChargeSwaps(random.randrange(3) != 0)


def _fund(random: Random) -> Fund:
    amount = Decimal(random.choice((random.randint(-300_000, 300_000), 0, Decimal("0.5")))) / 100
    return Fund(random.choice((0, 0, 1, 1, 2, 2, ACCOUNTS)), amount)


def make_fund_to(random: Random, accounts: int = ACCOUNTS) -> FundTo:
    """Draw a deposit or withdrawal that brings one of some accounts to a level."""
    level = random.choice(("margin call", "margin call", "recovery"))
    return FundTo(random.randrange(accounts), level, random.choice((0, 0, 0, -1, 1)))


def _change_terms(random: Random) -> ChangeTerms:
    return ChangeTerms(random.randint(0, 1), random.choice(_SYMBOL), _terms(random))


def _change_group(random: Random) -> ChangeGroup:
    state = random.choice(_STATES)
    return ChangeGroup(random.randrange(len(GROUPS)), random.randrange(len(RULES)), state)


def _jump(random: Random) -> Jump:
    if random.randrange(3) == 0:
        return Jump(random.choice((-1, 0, 1)), to_rollover=True)
    return Jump(random.choice((20, 50, 60, 130, 3_600, 86_400, 200_000)), to_rollover=False)


_SYMBOL = (0, 0, 0, 1, 2, 2, 2, 3)
_SESSIONS = (*(0,) * 21, 1, 2, 3)
_TYPES = tuple(OrderType)
_STATES = (
    *[TradingState.ACTIVE] * 4,
    TradingState.CLOSE_ONLY,
    TradingState.HALTED,
)
_DISTANCE = (None, None, None, 2, 3, 4, 5, 6, 8, 1, 1, 0, -2)
_CHANGES = (
    frozenset({"price"}),
    frozenset({"price"}),
    frozenset({"limit_price"}),
    frozenset({"stop_loss"}),
    frozenset({"take_profit"}),
    frozenset({"stop_loss", "take_profit"}),
    frozenset({"stop_loss", "take_profit"}),
    frozenset({"trailing"}),
    frozenset({"trailing", "stop_loss"}),
    frozenset({"expires_at"}),
    frozenset({"volume"}),
    frozenset({"price", "limit_price", "volume", "stop_loss", "take_profit"}),
)
_FAULTS = ("crossed", "zero", "negative", "late", "unknown", "stale", "aged", "ahead", "future")
_WEIGHTED: tuple[tuple[int, Callable[[Random], Step]], ...] = (
    (36, make_tick),
    (6, make_nudge),
    (12, make_squeeze),
    (14, lambda random: Place(make_plan(random))),
    (9, _modify),
    (8, lambda random: FundAndPlace(make_plan(random), random.randint(-1, 1))),
    (2, lambda random: Cancel(random.randint(0, 11))),
    (7, _close),
    (6, _correct),
    (2, _fund),
    (4, make_fund_to),
    (4, _change_terms),
    (4, _change_group),
    (3, lambda random: ChangeSymbol(random.choice(_SYMBOL), random.choice(_STATES))),
    (2, lambda random: BadTick(random.choice(_SYMBOL), 0, random.choice(_FAULTS))),
    (1, lambda random: Wait()),
    (4, _jump),
    (2, lambda random: Expire()),
    (4, _charge_swaps),
    (4, lambda random: Sweep()),
    (3, lambda random: Restart(random.choice((True, False)))),
)
_REPLAYED = (make_tick, make_nudge, make_squeeze, _jump)
_STEPS = tuple(make for _, make in _WEIGHTED)
_CHOICES = tuple(which for which, (weight, _) in enumerate(_WEIGHTED) for _ in range(weight))
_AT_NIGHT = tuple(
    which
    for which, make in enumerate(_STEPS)
    if make in (make_tick, _close, _correct, _charge_swaps, _jump)
)
