"""Plots are text of the same bytes, and show what they are given."""

from xml.etree import ElementTree

from tests.bench.drawing import draw
from tests.bench.plots import Curve, Distribution, Point, Quantile

LINE = [Point(1_000, 410, 400, 420), Point(1_000_000, 450, 440, 470)]
CURVE = Curve("Cost of a tick", "resting orders", "ns", False, True, {"engine": LINE, "bare": LINE})
ADDED = Curve(
    "Added", "ms", "ms", True, False, {"engine": [Point(0, 3, 3, 3), Point(1, 900, 1, 901)]}
)
WAITS = Distribution("Waits", "ms", {"push": [Quantile(0, 1), Quantile(0.5, 2), Quantile(0.99, 9)]})


def words_of(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [each.text for each in root.iter("{http://www.w3.org/2000/svg}text") if each.text]


def test_the_same_plot_is_the_same_bytes_without_a_date() -> None:
    assert draw(CURVE) == draw(CURVE)
    assert "<dc:date>" not in draw(CURVE)


def test_a_curve_names_axes_lines_and_where_it_was_measured() -> None:
    words = words_of(draw(CURVE))
    assert {
        "Cost of a tick",
        "resting orders",
        "ns",
        "engine",
        "bare",
        "1,000",
        "1,000,000",
    } <= set(words)
    assert {"0", "1", "100", "1,000"} <= set(words_of(draw(ADDED)))


def test_numbers_of_an_axis_do_not_run_into_each_other() -> None:
    rates = (1_000, 5_000, 10_000, 11_000, 12_000)
    line = {"engine": [Point(rate, 1, 1, 1) for rate in rates]}
    words = words_of(draw(Curve("Rates", "ticks/s", "ms", False, False, line)))
    assert {"1,000", "5,000", "12,000"} <= set(words)
    assert not {"10,000", "11,000"} & set(words)


def test_a_distribution_shows_its_tail() -> None:
    assert {"Waits", "0 %", "50 %", "99 %", "2", "10"} <= set(words_of(draw(WAITS)))
