"""Figures out of rounds."""

from collections import Counter
from itertools import pairwise

import pytest

from tests.bench.report import Report, median_interval, shuffled_turns


def test_the_interval_of_a_median_holds_it_and_narrows_with_more_pairs() -> None:
    values = [1.0 + number % 7 / 100 for number in range(30)]
    low, high = median_interval(values)
    assert low <= 1.03 <= high
    assert 1.0 <= low <= high <= 1.06
    narrower, wider = median_interval(values * 20), (low, high)
    assert narrower[1] - narrower[0] < wider[1] - wider[0]
    assert median_interval([2.0, 2.0]) == (2.0, 2.0)


def test_a_ratio_is_of_pairs_and_judged_by_its_median() -> None:
    report = Report()
    for base in (10.0, 20.0, 40.0):
        report.add("off", base)
        report.add("on", base * 1.04)
    report.ratio("on : off", "on", "off", at_most=1.05)
    report.ratio("on : off, strictly", "on", "off", at_most=1.03)
    report.ratio("on : off, as far as shown", "on", "off", within_noise=True, at_most=1.03)
    for ratio in (0.9, 1.2, 1.3):
        report.add("noisy", 10.0 * ratio)
        report.add("quiet", 10.0)
    report.ratio("noisy : quiet", "noisy", "quiet", within_noise=True, at_most=1.05)
    met, missed, shown, noisy = report.figures
    assert met.value == pytest.approx(1.04)
    assert met.interval == pytest.approx((1.04, 1.04))
    assert (met.target, met.verdict) == ("<= 1.05 x", "met")
    assert missed.verdict == shown.verdict == "missed"
    assert noisy.verdict == "met"
    assert noisy.value == pytest.approx(1.2)
    assert noisy.target == "<= 1.05 x, within noise"


def test_shuffled_turns_let_each_follow_each() -> None:
    contenders = ("off", "metrics", "traces")
    taken = list(shuffled_turns(contenders, 60))
    for number in range(60):
        assert sorted(each for turn, each in taken if turn == number) == sorted(contenders)
    follows = Counter((one, next_one) for (_, one), (_, next_one) in pairwise(taken))
    assert all(
        follows[one, other] > 5 for one in contenders for other in contenders if one != other
    )
    assert taken == list(shuffled_turns(contenders, 60))
