"""The comparison with the oracle is sharp: it finds each planted fault."""

import importlib
from random import Random

import pytest

from tests.property.mutants import Mutant, mutated, read_mutants

SEED = 7
RUNS = 1_500


def disagrees() -> bool:
    """Tell whether one of a bounded series of runs disagrees, on the domain imported now."""
    player = importlib.import_module("tests.property.player")
    runs = importlib.import_module("tests.property.runs")
    twins = importlib.import_module("tests.property.twins")
    random = Random(SEED)
    try:
        for _ in range(RUNS):
            player.Player(runs.make_run(random)).play()
    except twins.Disagreement:
        return True
    return False


@pytest.mark.parametrize("mutant", read_mutants(), ids=lambda mutant: mutant.name)
def test_a_mutant_dies(mutant: Mutant) -> None:
    with mutated(mutant):
        assert disagrees(), f"survived {RUNS} runs: {mutant.name}"
