"""The comparison with the oracle is sharp: it finds each planted fault."""

import importlib
from random import Random

import pytest

from tests.property.mutants import Mutant, mutated, read_mutants

SEED = 7
RUNS = 1_500
DENSE_RUNS = 3
DENSE_AFTER = 100


def dies() -> bool:
    """Tell whether one of a bounded series of runs disagrees, on the domain imported now.

    After the first runs come dense ones, of many accounts near their levels.
    """
    player = importlib.import_module("tests.property.player")
    runs = importlib.import_module("tests.property.runs")
    bands = importlib.import_module("tests.property.test_bands")
    random = Random(SEED)
    try:
        for number in range(RUNS):
            player.Player(runs.make_run(random)).play()
            if number == DENSE_AFTER:
                for seed in range(DENSE_RUNS):
                    player.Player(bands.make_run(Random(seed))).play()
    except Exception:  # a disagreement, or a domain too faulty to decide at all
        return True
    return False


@pytest.mark.parametrize("mutant", read_mutants(), ids=lambda mutant: mutant.name)
def test_a_mutant_dies(mutant: Mutant) -> None:
    with mutated(mutant):
        assert dies(), f"survived {RUNS} runs: {mutant.name}"
