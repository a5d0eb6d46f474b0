"""Latencies in buckets: percentiles are told to 1.6 %, never too small."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.load.latencies import Latencies

microseconds = st.lists(st.integers(0, 10**9), min_size=1, max_size=200)


def latencies_of(values: list[int]) -> Latencies:
    latencies = Latencies()
    for value in values:
        latencies.record(value * 1_000)
    return latencies


@given(microseconds, st.sampled_from([0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_that_of_the_sorted_values(values: list[int], percent: float) -> None:
    place = max(1, math.ceil(len(values) * percent / 100))
    exact = sorted(values)[place - 1]
    found = latencies_of(values).percentile_ms(percent)
    assert found is not None
    assert exact <= found * 1e3 + 1e-6
    assert found * 1e3 <= exact * 1.016 + 1e-6


@given(microseconds, microseconds)
def test_adding_is_recording_both(one: list[int], other: list[int]) -> None:
    both = latencies_of(one)
    both.add(latencies_of(other))
    assert both.view() == latencies_of(one + other).view()


def test_none_have_no_percentiles() -> None:
    view = Latencies().view()
    assert (view.count, view.p50_ms, view.max_ms, view.distribution) == (0, None, None, [])
    assert Latencies().percentile_ms(50.0) is None


def test_what_is_below_zero_or_beyond_two_hours_is_kept_in_bounds() -> None:
    latencies = Latencies()
    latencies.record(-5_000)
    latencies.record(10**18)
    view = latencies.view()
    assert view.p50_ms == 0
    assert view.max_ms == pytest.approx(2**33 / 1e3)


def test_the_distribution_rises_to_the_largest() -> None:
    curve = latencies_of(list(range(1, 1_001))).view().distribution
    assert [percent for percent, _ in curve] == sorted(percent for percent, _ in curve)
    assert [value for _, value in curve] == sorted(value for _, value in curve)
    assert curve[-1] == (100.0, 1.0)
