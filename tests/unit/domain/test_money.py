"""Scaling and rounding, figure by figure."""

from decimal import Decimal

import pytest

from service.domain.money import (
    ScaleError,
    format_money,
    format_scaled,
    parse_scaled,
    to_cents,
    to_scaled,
)


@pytest.mark.parametrize(
    ("amount", "posted"),
    [
        ("0.005", "0.00"),
        ("0.015", "0.02"),
        ("0.025", "0.02"),
        ("0.0250000000000000001", "0.03"),
        ("-0.015", "-0.02"),
        ("-0.025", "-0.02"),
        ("-1.235", "-1.24"),
        ("-0.004", "0.00"),
        ("-0.00", "0.00"),
        ("1E+3", "1000.00"),
    ],
)
def test_postings_round_half_even_and_zero_has_no_sign(amount: str, posted: str) -> None:
    assert str(to_cents(Decimal(amount))) == posted
    assert format_money(Decimal(amount)) == posted


@pytest.mark.parametrize(
    ("value", "digits", "scaled"),
    [
        ("1.10001", 5, 110_001),
        ("1.1", 5, 110_000),
        ("1.100000000", 5, 110_000),
        ("1E+2", 2, 10_000),
        ("-1.5", 1, -15),
        ("0", 8, 0),
        ("150", 0, 150),
        ("1." + "0" * 60, 2, 100),
    ],
)
def test_a_decimal_becomes_whole_points(value: str, digits: int, scaled: int) -> None:
    assert to_scaled(Decimal(value), digits) == scaled


@pytest.mark.parametrize(
    ("value", "digits", "why"),
    [
        ("1.100001", 5, "more than 5 decimals"),
        ("0.5", 0, "more than 0 decimals"),
        ("1.1" + "0" * 40 + "1", 5, "more than 5 decimals"),
        ("1E-2000000", 5, "more than 5 decimals"),
        ("NaN", 5, "not a finite number"),
        ("sNaN", 5, "not a finite number"),
        ("-Infinity", 5, "not a finite number"),
        ("1E+16", 0, "too large"),
        ("1E+999999999", 5, "too large"),
    ],
)
def test_what_does_not_fit_its_scale_is_refused(value: str, digits: int, why: str) -> None:
    with pytest.raises(ScaleError, match=why):
        to_scaled(Decimal(value), digits)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (110_001, 5, "1.10001"),
        (1, 5, "0.00001"),
        (-1, 5, "-0.00001"),
        (-110_001, 5, "-1.10001"),
        (0, 2, "0.00"),
        (150, 0, "150"),
        (10_000_000_000_000_000, 8, "100000000.00000000"),
    ],
)
def test_points_are_written_without_exponent(value: int, digits: int, text: str) -> None:
    assert format_scaled(value, digits) == text
    assert parse_scaled(text, digits) == value
    assert Decimal(text).scaleb(digits) == value


@pytest.mark.parametrize(("text", "value"), [("0.12", 1_200), ("-3", -30_000), ("7.", 70_000)])
def test_decimals_that_are_not_written_are_zeros(text: str, value: int) -> None:
    assert parse_scaled(text, 4) == value


@pytest.mark.parametrize("text", ["", "-", ".5", "1e3", "NaN", "1.2.3", "1.23456"])
def test_what_was_not_written_as_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|more than 4 decimals|no plain decimal"):
        parse_scaled(text, 4)
