"""What a part wants drawn, reduced to what a plot shows, so that the results stay small.

A `Curve` says what something costs as something else grows; a `Distribution` how often it takes how
long. Parts give samples to `Report.curve` and `Report.distribution`; a part that keeps a histogram
instead of samples gives its quantiles to `Report.quantiles`. Nothing is drawn while a part runs:
`tests.bench.drawing` draws from the results file alone.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999)


class Point(msgspec.Struct, frozen=True):
    """What was measured at `x`: the median, and the quartiles around it."""

    x: float
    median: float
    low: float
    high: float


class Curve(msgspec.Struct, frozen=True, tag="curve"):
    """Lines of points by the name of what they are of; axes are logarithmic unless linear."""

    title: str
    x_label: str
    y_label: str
    is_linear_x: bool
    is_linear_y: bool
    series: dict[str, list[Point]]


class Quantile(msgspec.Struct, frozen=True):
    """The value that a share of the samples, from 0 and below 1, is below."""

    share: float
    value: float


class Distribution(msgspec.Struct, frozen=True, tag="distribution"):
    """Quantiles by the name of what they are of, on a logarithmic axis of values."""

    title: str
    label: str
    series: dict[str, list[Quantile]]


Plot: TypeAlias = Curve | Distribution


def curve_of(
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, Mapping[float, Sequence[float]]],
    *,
    is_linear_x: bool,
    is_linear_y: bool,
) -> Curve:
    """Reduce each x's samples to a point. Raises ValueError for what an axis cannot show."""
    lines = {
        name: [_point(x, samples) for x, samples in sorted(by_x.items())]
        for name, by_x in series.items()
    }
    points = [point for line in lines.values() for point in line]
    if not lines or not all(lines.values()):
        raise ValueError(f"{title}: a series without points cannot be drawn")
    if not is_linear_x and any(point.x <= 0 for point in points):
        raise ValueError(f"{title}: a logarithmic axis has no 0: give is_linear_x")
    if not is_linear_y and any(point.low <= 0 for point in points):
        raise ValueError(f"{title}: a logarithmic axis has no 0: give is_linear_y")
    return Curve(title, x_label, y_label, is_linear_x, is_linear_y, lines)


def quantiles_of(samples: Sequence[float]) -> list[Quantile]:
    """Return the quantiles of `SHARES` that so many samples can tell, and their largest."""
    ordered = sorted(samples)
    last = 1 - 1 / len(ordered)
    shares = [share for share in SHARES if share < last]
    return [
        *(Quantile(share, ordered[int(share * len(ordered))]) for share in shares),
        Quantile(last, ordered[-1]),
    ]


def distribution_of(
    title: str, label: str, series: Mapping[str, Sequence[Quantile]]
) -> Distribution:
    """Check what is to be drawn. Raises ValueError for a share or value no axis can show."""
    if not series:
        raise ValueError(f"{title}: there is nothing to draw")
    for name, quantiles in series.items():
        if not quantiles:
            raise ValueError(f"{title}: {name} has no quantiles")
        for share, value in ((each.share, each.value) for each in quantiles):
            if not 0 <= share < 1 or value <= 0:
                raise ValueError(f"{title}: {name}: a share of {share:g} at {value:g}")
    return Distribution(title, label, {name: list(each) for name, each in series.items()})


def _point(x: float, samples: Sequence[float]) -> Point:
    if len(samples) < 2:
        (only,) = samples
        return Point(x, only, only, only)
    low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Point(x, median, low, high)
