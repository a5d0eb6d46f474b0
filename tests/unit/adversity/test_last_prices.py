"""Orders that the last quotes cross, and memory that is not what is stored."""

import pytest

from tests.adversity.last_prices import Armed, crossed_faults, exposure_faults

PRICES = {"EURUSD": (1000, 1010)}


def pending(order_type: str, trigger: int) -> Armed:
    return Armed(1, "EURUSD", order_type, "PENDING", trigger, None, None)


def position(order_type: str, stop_loss: int | None, take_profit: int | None) -> Armed:
    return Armed(1, "EURUSD", order_type, "OPEN", None, stop_loss, take_profit)


@pytest.mark.parametrize(
    ("rests", "crossed"),
    [
        (pending("BUY_LIMIT", 1009), pending("BUY_LIMIT", 1010)),
        (pending("BUY_STOP", 1011), pending("BUY_STOP", 1010)),
        (pending("SELL_STOP", 999), pending("SELL_STOP", 1000)),
        (pending("SELL_LIMIT", 1001), pending("SELL_LIMIT", 1000)),
        (position("BUY", 999, 1001), position("BUY", 1000, None)),
        (position("BUY_STOP", 999, 1001), position("BUY_STOP", None, 1000)),
        (position("SELL", 1011, 1009), position("SELL", 1010, None)),
        (position("SELL_LIMIT", 1011, 1009), position("SELL_LIMIT", None, 1010)),
    ],
)
def test_only_what_the_last_quotes_cross_is_found(rests: Armed, crossed: Armed) -> None:
    assert crossed_faults([rests], PRICES) == []
    assert len(crossed_faults([crossed], PRICES)) == 1


def test_what_was_never_quoted_is_left_alone() -> None:
    assert crossed_faults([pending("BUY_LIMIT", 1010)], {}) == []


def test_what_engines_hold_is_what_is_stored() -> None:
    assert exposure_faults({"EURUSD": (100, 0)}, {"EURUSD": (100, 0)}) == []
    assert exposure_faults({"EURUSD": (0, 0)}, {}) == []


@pytest.mark.parametrize("told", [{}, {"EURUSD": (100, 100)}, {"USDJPY": (100, 0)}])
def test_what_engines_hold_beyond_it_or_lack_is_found(told: dict[str, tuple[int, int]]) -> None:
    assert exposure_faults(told, {"EURUSD": (100, 0)})
