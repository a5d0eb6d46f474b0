"""The engine against the oracle, decision for decision."""

from collections import Counter
from random import Random

from hypothesis import Phase, given, settings
from hypothesis import event as note
from hypothesis import strategies as st

from service.domain.decision import PostingKind
from service.domain.instrument import TradingState
from service.domain.order import CancelReason, CloseReason, OrderType
from service.domain.quote import QuoteRefusal
from service.domain.rejection import RejectCode
from tests.property.player import Player
from tests.property.runs import make_replay, make_resting, make_run, make_setting, make_step
from tests.property.steps import Run
from tests.property.twins import Disagreement

EXAMPLES = 2_000
SEEDED_RUNS = 1_800
SEED = 20_260_101
NOT_IN_A_REPLAY = {QuoteRefusal.MALFORMED, QuoteRefusal.JUMP}
NOT_ASKED = {
    RejectCode.UNKNOWN_SYMBOL,
    RejectCode.UNKNOWN_GROUP,
    RejectCode.ACCOUNT_EXISTS,
    RejectCode.INVALID_SETTINGS,
    RejectCode.DEAL_NOT_FOUND,
    RejectCode.ACCOUNT_FAULTED,
}
EVENTS = {
    *(f"OPENED {kind}" for kind in OrderType),
    *(f"CLOSED {reason}" for reason in CloseReason),
    *(f"CANCELLED {reason}" for reason in CancelReason if reason is not CancelReason.CORRECTED),
    *("PLACED", "MODIFIED", "ACTIVATED", "TRAILED", "PARTIALLY_CLOSED CLIENT", "SWAP_CHARGED"),
    "CORRECTED",
    *("DEPOSITED", "WITHDRAWN", "MARGIN_CALLED", "MARGIN_RESTORED"),
    *(f"taken back {event}" for event in ("OPEN", "CLOSE", "PARTIAL_CLOSE")),
    *(f"posted {kind}" for kind in PostingKind),
    *("trailed long", "trailed short", "swap paid on closing", "hedged", "unpriced"),
    "stopped out elsewhere",
    *("restart", "left alone by a sweep", "deferred", "judged again", "several on a tick"),
    *(f"{what} {state}" for what in ("symbol", "group") for state in TradingState),
    *(f"refused {why}" for why in QuoteRefusal if why not in NOT_IN_A_REPLAY),
    *(f"rejected {code}" for code in RejectCode if code not in NOT_ASKED),
}
RARE = {"several stopped out", "in debt with positions"}
OFTEN = 10

CHANCE = st.randoms(note_method_calls=False)
RUNS = st.builds(
    Run,
    CHANCE.map(make_setting),
    st.lists(CHANCE.map(make_resting), max_size=8),
    st.lists(CHANCE.map(make_step), min_size=5, max_size=60),
    is_replay=st.just(False),  # nobody trades in a replay
) | CHANCE.map(make_replay)


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
    assert {what for what in seen if seen[what]} - RARE == EVENTS
