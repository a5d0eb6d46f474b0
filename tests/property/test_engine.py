"""The engine against the oracle, decision for decision."""

from collections import Counter
from random import Random

from hypothesis import Phase, given, settings
from hypothesis import event as note
from hypothesis import strategies as st

from tests.property.player import Player
from tests.property.runs import make_resting, make_run, make_setting, make_step
from tests.property.steps import Run
from tests.property.twins import Disagreement

EXAMPLES = 2_500
SEEDED_RUNS = 2_000
SEED = 20_260_101
EVENTS = {
    *(f"OPENED {kind}" for kind in ("BUY", "BUY_LIMIT", "BUY_STOP")),
    *(f"OPENED {kind}" for kind in ("SELL", "SELL_LIMIT", "SELL_STOP")),
    *(f"CLOSED {reason}" for reason in ("CLIENT", "STOP_LOSS", "TAKE_PROFIT")),
    *(f"CANCELLED {reason}" for reason in ("CLIENT", "INSUFFICIENT_MARGIN", "NO_RATE")),
    *(
        "PLACED",
        "MODIFIED",
        "DEPOSITED",
        "WITHDRAWN",
        "restart",
        "left alone by a sweep",
        "deferred",
        "judged again",
        "several on a tick",
    ),
    *(f"refused {why}" for why in ("unknown_symbol", "not_positive", "crossed")),
    *(f"refused {why}" for why in ("out_of_order", "future", "stale")),
    *(f"rejected {code}" for code in ("UNKNOWN_ACCOUNT", "ORDER_NOT_FOUND", "ORDER_NOT_PENDING")),
    *(f"rejected {code}" for code in ("ORDER_NOT_OPEN", "INVALID_VOLUME", "INVALID_PRICE")),
    *(f"rejected {code}" for code in ("INVALID_STOP_LOSS", "INVALID_TAKE_PROFIT")),
    *(f"rejected {code}" for code in ("INVALID_AMOUNT", "WRONG_SIDE_OF_MARKET")),
    *(f"rejected {code}" for code in ("INSUFFICIENT_MARGIN", "INSUFFICIENT_FUNDS")),
    *(f"rejected {code}" for code in ("NO_QUOTE", "NO_RATE")),
}
OFTEN = 10

CHANCE = st.randoms(note_method_calls=False)
RUNS = st.builds(
    Run,
    CHANCE.map(make_setting),
    st.lists(CHANCE.map(make_resting), max_size=8),
    st.lists(CHANCE.map(make_step), min_size=5, max_size=60),
)


@settings(max_examples=EXAMPLES, deadline=None, phases=set(Phase) - {Phase.explain})
@given(RUNS)
def test_engine_decides_as_the_oracle(run: Run) -> None:
    """Restarts included: an engine loaded at any moment decides as the one before would have."""
    for what, count in Player(run).play().items():
        if count:
            note(what)


def test_seeded_runs_agree_and_everything_occurs_in_them() -> None:
    random = Random(SEED)
    seen: Counter[str] = Counter()
    for number in range(SEEDED_RUNS):
        run = make_run(random)
        try:
            seen.update(Player(run).play())
        except Disagreement as found:
            found.add_note(f"run {number} of seed {SEED}: {run}")
            raise
    assert {what for what in EVENTS if seen[what] < OFTEN} == set()
    assert {what for what in seen if seen[what]} == EVENTS
