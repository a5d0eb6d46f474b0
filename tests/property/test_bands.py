"""The safe price bands: whoever falls to a level is examined on the very tick.

Many accounts just bear their positions, hedged, huge and in other currencies, and prices move by
points around where something is to happen to one of them, or spreads widen, while a market closes
and groups are halted. The oracle
looks at every account on every tick, the engine only at those whose bands are crossed.
"""

from collections import Counter
from decimal import Decimal
from random import Random

from service.domain.instrument import TradingState
from service.domain.order import OrderType
from tests.property.markets import RULES
from tests.property.player import Player
from tests.property.runs import make_fund_to, make_nudge, make_setting, make_squeeze
from tests.property.steps import (
    AccountPlan,
    ChangeGroup,
    ChangeSymbol,
    Fund,
    FundAndPlace,
    Jump,
    Nudge,
    OrderPlan,
    Run,
    Step,
)
from tests.property.twins import Disagreement

ACCOUNTS = 30
STEPS = 350
SEEDS = range(6)
OFTEN = 10
WANTED = (
    *("MARGIN_CALLED", "MARGIN_RESTORED", "CLOSED STOP_OUT", "several stopped out"),
    *("stopped out elsewhere", "hedged", "posted NEGATIVE_BALANCE"),
)
VOLUMES = (100, 1_000, 10_000, 100_000, 1_000_000)


def make_run(random: Random) -> Run:
    """Draw a run; the fourth symbol closes in the midst of it."""
    setting = make_setting(random)._replace(
        sessions=(0, 0, 0, random.choice((0, 1, 3))),
        accounts=tuple(
            AccountPlan(random.randint(0, 1), random.choice((30, 100, 500)), "0")
            for _ in range(ACCOUNTS)
        ),
        quoted=(0, 1, 2, 3),
    )
    steps: list[Step] = []
    for account in range(ACCOUNTS):
        steps += make_book(random, account)
    while len(steps) < STEPS:
        steps.append(make_squeeze(random, ACCOUNTS))
        steps += [make_nudge(random) for _ in range(random.randint(1, 6))]
        match random.randrange(10):
            case 0 | 1 | 2:
                steps += make_book(random, random.randrange(ACCOUNTS))
            case 3:
                spread = random.choice((20, 60, 200, 1_000))
                steps.append(Nudge(random.randrange(4), -(spread // 2), spread))
            case 4:
                steps.append(Jump(random.choice((1, 20)), to_rollover=False))
            case 5:
                state = random.choice((*[TradingState.ACTIVE] * 3, TradingState.HALTED))
                steps.append(ChangeGroup(random.randint(0, 1), random.randrange(len(RULES)), state))
                steps.append(Fund(random.randrange(ACCOUNTS), Decimal("0.01")))
            case 7:
                state = random.choice((TradingState.ACTIVE, TradingState.HALTED))
                steps.append(ChangeSymbol(random.choice((1, 3)), state))
            case 6:
                steps.append(make_fund_to(random, ACCOUNTS))
                steps.append(Nudge(random.randrange(4), 0, 1))
    return Run(setting, [], steps)


def make_book(random: Random, account: int) -> list[Step]:
    """Draw positions for which an account gets just the margin, or a little less or more."""
    plans = []
    for _ in range(random.randint(1, 3)):
        plan = OrderPlan(
            account,
            random.choice((0, 1, 2, 2, 3)),
            random.choice((OrderType.BUY, OrderType.SELL)),
            random.choice(VOLUMES),
            0,
            None,
            None,
        )
        plans.append(plan)
        if random.randrange(3) == 0:  # hedged to the full
            other = OrderType.SELL if plan.order_type is OrderType.BUY else OrderType.BUY
            plans.append(plan._replace(order_type=other))
    return [FundAndPlace(plan, random.choice((0, 1, 100, 10_000))) for plan in plans]


def test_an_account_is_examined_on_the_tick_on_which_it_falls_to_a_level() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        try:
            seen.update(Player(make_run(Random(seed))).play())
        except Disagreement as found:
            found.add_note(f"seed {seed}")
            raise
    assert {what for what in WANTED if seen[what] < OFTEN} == set()
