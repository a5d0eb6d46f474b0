"""Who runs what: the names are of modules that are there, and each kind of worker has its order."""

from pathlib import Path

import pytest

from tests.workers import CUT, JUDGING, LAST, LONG, rank

ROOT = Path(__file__).resolve().parents[2]
ANY = "tests/unit/test_workers.py"


@pytest.mark.parametrize("module", [*JUDGING, *LONG, *CUT, *LAST])
def test_a_module_that_is_named_exists(module: str) -> None:
    assert (ROOT / module).exists()


def test_what_judges_is_first_where_nobody_is_nice_and_last_where_they_are() -> None:
    scopes = [f"{LAST[0]}::test_a_mutant_dies[one]", ANY, LONG[0], JUDGING[0]]
    assert sorted(scopes, key=lambda scope: rank(scope, is_nice=False)) == scopes[::-1]
    assert sorted(scopes, key=lambda scope: rank(scope, is_nice=True)) == [
        LONG[0],
        ANY,
        scopes[0],
        JUDGING[0],
    ]
