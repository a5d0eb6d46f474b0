"""Plots as SVG, from what the results file holds: the same results, the same bytes.

Dark on a light ground of its own, so that a plot reads on a light page and on a dark one.
"""

import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullLocator,
)

from tests.bench.figures import significant
from tests.bench.plots import Curve, Distribution, Plot

GROUND, INK, GRID = "#ffffff", "#24292f", "#d8dee4"
COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#bc4c00", "#8250df", "#57606a", "#bf3989", "#1b7c83")
CLAIMED = "#d4a72c"
MARKERS = "osD^vPX*"
INCHES = (7.2, 4.0)
FAR_APART = 100
LABEL_ROOM = 0.1
"""The share of an axis that a number takes."""
SHARES = {0.0: "0 %", 0.5: "50 %", 0.9: "90 %", 0.99: "99 %", 0.999: "99.9 %", 0.9999: "99.99 %"}
NUMBERS = FuncFormatter(lambda value, _: significant(value, 3))
STYLE: dict[str, Any] = {
    "svg.hashsalt": "tapewatch",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "path.simplify": False,
}


class Gain(NamedTuple):
    """How many times faster: claimed between two numbers, what came of it, and what is now."""

    title: str
    claimed: tuple[float, float]
    became: float
    now: float


def draw(plot: Plot) -> str:
    """Return a plot as SVG."""
    with style.context(["default", STYLE], after_reset=True):
        sheet, axes = _sheet(plot.title, INCHES)
        if isinstance(plot, Curve):
            _draw_curve(axes, plot)
        else:
            _draw_distribution(axes, plot)
        if len(plot.series) > 1:
            axes.legend(loc="best")
        return _svg(sheet)


def draw_gains(title: str, gains: Sequence[Gain]) -> str:
    """Return as SVG how many times faster each row was claimed to be, became and is."""
    with style.context(["default", STYLE], after_reset=True):
        sheet, axes = _sheet(title, (INCHES[0], 1.2 + 0.45 * len(gains)))
        places = range(len(gains))
        claims = [gain.claimed for gain in gains]
        widths = [high - low for low, high in claims]
        lows = [low for low, _ in claims]
        axes.barh(places, widths, 0.5, lows, color=CLAIMED, label="the report claims")
        for label, marker, colour, values in (
            ("its changes give", "s", COLOURS[1], [gain.became for gain in gains]),
            ("this service", "o", COLOURS[0], [gain.now for gain in gains]),
        ):
            axes.plot(values, places, marker, color=colour, label=label, clip_on=False)
        axes.set_xscale("log")
        axes.axvline(1, color=INK, linewidth=0.8)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(NUMBERS)
        axes.set_xlabel("times as fast as before")
        axes.set_yticks(places, [gain.title for gain in gains])
        axes.invert_yaxis()
        sheet.legend(loc="outside lower center", ncols=3)
        return _svg(sheet)


def _sheet(title: str, inches: tuple[float, float]) -> tuple[Sheet, Axes]:
    sheet = Sheet(figsize=inches, facecolor=GROUND, layout="constrained")
    axes = sheet.add_subplot(facecolor=GROUND)
    axes.set_title(title, loc="left", weight="bold", pad=12)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return sheet, axes


def _svg(sheet: Sheet) -> str:
    written = io.StringIO()
    sheet.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def _draw_curve(axes: Axes, curve: Curve) -> None:
    for number, (name, points) in enumerate(curve.series.items()):
        colour = COLOURS[number % len(COLOURS)]
        xs = [point.x for point in points]
        lows, highs = [point.low for point in points], [point.high for point in points]
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.2, linewidth=0)
        medians = [point.median for point in points]
        axes.plot(xs, medians, MARKERS[number % len(MARKERS)] + "-", color=colour, label=name)
    points = [point for line in curve.series.values() for point in line]
    axes.set_xlabel(curve.x_label)
    if not curve.is_linear_x:
        axes.set_xscale("log")
    shown = _apart(sorted({point.x for point in points}), is_linear=curve.is_linear_x)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(NUMBERS)
    axes.set_ylabel(curve.y_label)
    if curve.is_linear_y:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(NUMBERS)
    else:
        _scale_up(axes, [each for point in points for each in (point.low, point.high)])


def _apart(xs: Sequence[float], *, is_linear: bool) -> list[float]:
    """Return those of ascending xs whose numbers do not run into each other, the last always."""
    places = [x if is_linear else math.log(x) for x in xs]
    room = (places[-1] - places[0]) * LABEL_ROOM
    shown = [xs[-1]]
    last = places[-1]
    for x, place in zip(reversed(xs), reversed(places), strict=True):
        if last - place >= room and x != xs[-1]:
            shown.insert(0, x)
            last = place
    return shown


def _draw_distribution(axes: Axes, distribution: Distribution) -> None:
    """Draw values over how rare they are, so that the slowest have as much room as the rest."""
    for number, (name, quantiles) in enumerate(distribution.series.items()):
        axes.plot(
            [_rarity(each.share) for each in quantiles],
            [each.value for each in quantiles],
            MARKERS[number % len(MARKERS)] + "-",
            color=COLOURS[number % len(COLOURS)],
            label=name,
            markersize=4,
        )
    told = [each for line in distribution.series.values() for each in line]
    rarest = max(each.share for each in told)
    shown = {_rarity(share): label for share, label in SHARES.items() if share <= rarest}
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(shown)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FixedFormatter(list(shown.values())))
    axes.set_xlabel("share of the samples below")
    axes.set_ylabel(distribution.label)
    _scale_up(axes, [each.value for each in told])


def _rarity(share: float) -> float:
    return 1 / (1 - share)


def _scale_up(axes: Axes, values: Sequence[float]) -> None:
    """Make the axis of values logarithmic, from round number to round number."""
    low, high = min(values), max(values)
    steps = (1.0,) if high / low > FAR_APART else (1.0, 2.0, 5.0)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(NUMBERS)
    rounds = [
        step * 10.0**power
        for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
        for step in steps
    ]
    bottom = max(each for each in rounds if each < low)
    axes.set_ylim(bottom, min(each for each in rounds if each > high))
