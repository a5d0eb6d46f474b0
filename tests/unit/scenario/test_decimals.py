"""Numbers and times from text are exact, whatever path reads them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.money import ScaleError, format_scaled
from service.domain.times import format_time
from service.scenario.decimals import MAX_LENGTH, Scaled, read_decimal, read_scaled
from service.scenario.times import Times


@given(st.integers(-(10**14), 10**14), st.integers(0, 8), st.integers(0, 6))
def test_what_is_written_is_read(value: int, digits: int, zeros: int) -> None:
    text = format_scaled(value, digits)
    assert read_scaled(text, digits) == value
    assert read_scaled(f"{text}{'' if '.' in text else '.'}{'0' * zeros}", digits) == value
    assert Scaled(digits)[text] == value


@given(st.text(alphabet="0123456789.-+eE _\u0665", max_size=12), st.integers(0, 5))
def test_any_text_is_read_exactly_or_refused(text: str, digits: int) -> None:
    try:
        value = read_scaled(text, digits)
    except ScaleError:
        return
    assert Decimal(text) == Decimal(value).scaleb(-digits)


@pytest.mark.parametrize("text", ["", ".", "-", "nan", "Infinity", "1e", "1 ", "0x1", "१"])
def test_what_is_not_a_number_is_refused(text: str) -> None:
    with pytest.raises(ScaleError, match="must be a number"):
        read_decimal(text)


def test_a_number_too_long_to_be_exact_is_refused() -> None:
    with pytest.raises(ScaleError, match="at most"):
        read_scaled("1.1" + "0" * MAX_LENGTH + "1", 5)


def test_remembered_numbers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scaled, "MAX_REMEMBERED", 3)
    scaled = Scaled(0)
    assert [scaled[str(number)] for number in range(10)] == list(range(10))
    assert len(scaled) <= 3


@given(st.integers(0, 4_000_000_000_000))
def test_times_are_read_as_written(milliseconds: int) -> None:
    time = milliseconds * 1_000_000
    assert Times().read(format_time(time)) == time
