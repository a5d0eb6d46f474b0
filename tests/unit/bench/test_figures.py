"""How figures read."""

from tests.bench.figures import doubt, number, significant
from tests.bench.text_table import text_table
from tests.unit.bench.made_up import figure


def test_no_more_digits_are_told_than_mean_something() -> None:
    assert [significant(value, 3) for value in (1_234_567.8, 204.4, 99.96, 1.2345, 0.0012345)] == [
        "1,234,568",
        "204",
        "100",
        "1.23",
        "0.00123",
    ]


def test_a_ratio_tells_its_interval_and_another_figure_its_spread() -> None:
    ratio = figure("a : b", 1.23456, "x", spread=0.1, interval=(1.1, 1_234.5))
    assert (number(ratio), doubt(ratio)) == ("1.235", "[1.1, 1,234]")
    assert doubt(figure("a", 1.0, spread=0.034)) == "± 3%"
    assert doubt(figure("once", 1.0)) == ""


def test_a_table_aligns_its_columns_and_trails_no_spaces() -> None:
    rows = [("a", "10", "ms"), ("longer", "9", "")]
    assert text_table(rows, "<><").splitlines() == ["  a       10  ms", "  longer   9"]
    assert text_table([], "<><") == ""
