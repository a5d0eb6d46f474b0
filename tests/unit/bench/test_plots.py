"""What is drawn of samples."""

import pytest

from tests.bench.plots import Point, Quantile, quantiles_of
from tests.bench.report import Report


def test_a_curve_keeps_median_and_quartiles_in_the_order_of_x() -> None:
    report = Report()
    report.curve("cost", "orders", "a tick, ns", {"engine": {100: [5.0], 10: [1.0, 2.0, 3.0]}})
    (curve,) = report.plots
    assert curve.series == {"engine": [Point(10, 2, 1.5, 2.5), Point(100, 5, 5, 5)]}


def test_a_distribution_tells_no_more_than_its_samples_can() -> None:
    assert quantiles_of([3.0]) == [Quantile(0, 3)]
    samples = [float(number) for number in range(1, 101)]
    told = quantiles_of(samples)
    assert told[0] == Quantile(0, 1)
    assert Quantile(0.5, 51) in told
    assert told[-1] == Quantile(0.99, 100)
    report = Report()
    report.distribution("waits", "ms", {"product": samples})
    report.quantiles("waits, counted", "ms", {"product": told})
    first, second = report.plots
    assert first.series == second.series == {"product": told}


def test_what_no_axis_can_show_is_refused() -> None:
    report = Report()
    with pytest.raises(ValueError, match="is_linear_x"):
        report.curve("added", "ms", "ms", {"a": {0.0: [1.0]}})
    with pytest.raises(ValueError, match="is_linear_y"):
        report.curve("lines", "orders", "lines", {"a": {1.0: [0.0]}})
    with pytest.raises(ValueError, match="without points"):
        report.curve("nothing", "orders", "ms", {"a": {}})
    with pytest.raises(ValueError, match="without points"):
        report.curve("nothing", "orders", "ms", {})
    with pytest.raises(ValueError, match="nothing to draw"):
        report.distribution("nothing", "ms", {})
    with pytest.raises(ValueError, match="a share of 1"):
        report.quantiles("waits", "ms", {"a": [Quantile(1, 2)]})
    with pytest.raises(ValueError, match="no quantiles"):
        report.quantiles("waits", "ms", {"a": []})
    report.curve("added", "ms", "lines", {"a": {0: [0]}}, is_linear_x=True, is_linear_y=True)
    assert len(report.plots) == 1
