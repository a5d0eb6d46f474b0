"""The engine against the oracle, decision for decision."""

from hypothesis import HealthCheck, given, settings
from hypothesis import event as note

from tests.property.player import Player
from tests.property.runs import RUNS, Run

EXAMPLES = 2_500


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(RUNS)
def test_engine_decides_as_the_oracle(run: Run) -> None:
    for what in Player(run).play():
        note(what)
