"""What a benchmark found: raw rounds, figures and plots drawn from them, and targets met or missed.

A target never fails a run: machines differ, and a noisy neighbour is not a regression. The verdict
stands beside the figure instead.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import TypeVar

import msgspec

from tests.bench.plots import Plot, Quantile, curve_of, distribution_of, quantiles_of

Contender = TypeVar("Contender")
RESAMPLES = 2_000
CONFIDENCE = 0.95


class Figure(msgspec.Struct, frozen=True):
    """One number worth reading.

    Attributes:
        spread: half the distance between the quartiles of the rounds, as a share of the median;
            None where there was one round.
        interval: of what compares pairs, where their median lies with a confidence of 95 %
            (bootstrap); None for anything else, or with one pair.
        target: "<= 1.2 x", None where the figure is only told.
        verdict: "met" or "missed", None without a target.
    """

    name: str
    value: float
    unit: str
    spread: float | None
    interval: tuple[float, float] | None
    target: str | None
    verdict: str | None


class Report:
    """The rounds, figures and plots of one part."""

    def __init__(self) -> None:
        self.rounds: dict[str, list[float]] = {}
        self.figures: list[Figure] = []
        self.plots: list[Plot] = []

    def add(self, series: str, value: float) -> None:
        """Take one round's value of a series."""
        self.rounds.setdefault(series, []).append(value)

    def figure(
        self,
        name: str,
        values: Sequence[float],
        unit: str,
        *,
        is_paired: bool = False,
        within_noise: bool = False,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Make the median of `values` a figure, judged by at most one target.

        `is_paired`: each value compares two of one round. `within_noise`: `at_most` is missed only
        if the whole interval of the pairs is above it.
        """
        median = statistics.median(values)
        interval = median_interval(values) if is_paired and len(values) > 1 else None
        target = verdict = None
        if at_most is not None:
            judged = interval[0] if within_noise and interval is not None else median
            target = f"<= {at_most:,g} {unit}{', within noise' if within_noise else ''}"
            verdict = "met" if judged <= at_most else "missed"
        elif at_least is not None:
            target = f">= {at_least:,g} {unit}"
            verdict = "met" if median >= at_least else "missed"
        self.figures.append(Figure(name, median, unit, _spread(values), interval, target, verdict))

    def ratio(
        self,
        name: str,
        series: str,
        baseline: str,
        *,
        within_noise: bool = False,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Make the median of each round's value over its own baseline a figure.

        Paired rounds ran one after the other, so what slowed one slowed the other.
        """
        pairs = zip(self.rounds[series], self.rounds[baseline], strict=True)
        values = [value / base for value, base in pairs]
        self.figure(
            name,
            values,
            "x",
            is_paired=True,
            within_noise=within_noise,
            at_most=at_most,
            at_least=at_least,
        )

    def curve(
        self,
        title: str,
        x_label: str,
        y_label: str,
        series: Mapping[str, Mapping[float, Sequence[float]]],
        *,
        is_linear_x: bool = False,
        is_linear_y: bool = False,
    ) -> None:
        """Have lines drawn: by name and x the samples, of which medians and quartiles are shown.

        Labels end with the unit, as "a message, ms". Axes are logarithmic unless linear.
        """
        self.plots.append(
            curve_of(
                title, x_label, y_label, series, is_linear_x=is_linear_x, is_linear_y=is_linear_y
            )
        )

    def distribution(self, title: str, label: str, series: Mapping[str, Sequence[float]]) -> None:
        """Have the samples of each series drawn by what share of them is below what."""
        self.quantiles(
            title, label, {name: quantiles_of(samples) for name, samples in series.items()}
        )

    def quantiles(self, title: str, label: str, series: Mapping[str, Sequence[Quantile]]) -> None:
        """Have a distribution drawn of which only quantiles are known, as of a histogram."""
        self.plots.append(distribution_of(title, label, series))


def turns(contenders: Sequence[Contender], rounds: int) -> Iterator[tuple[int, Contender]]:
    """Yield every contender once a round, each round another one first."""
    for number in range(rounds):
        for place in range(len(contenders)):
            yield number, contenders[(number + place) % len(contenders)]


def shuffled_turns(
    contenders: Sequence[Contender], rounds: int, seed: int = 0
) -> Iterator[tuple[int, Contender]]:
    """Yield every contender once a round, in an order drawn anew for each.

    So none always runs after the same other one, and inherits what that left behind.
    """
    random = Random(seed)
    for number in range(rounds):
        for contender in random.sample(contenders, len(contenders)):
            yield number, contender


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return where the median lies with `CONFIDENCE`, from `RESAMPLES` bootstrap samples."""
    random = Random(0)
    medians = sorted(
        statistics.median(random.choices(values, k=len(values))) for _ in range(RESAMPLES)
    )
    outside = round((1 - CONFIDENCE) / 2 * RESAMPLES)
    return medians[outside], medians[-1 - outside]


def _spread(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / median if median else None
