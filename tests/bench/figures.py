"""How a figure reads, wherever it is read."""

from tests.bench.report import Figure


def number(figure: Figure) -> str:
    """Return the value as it is read: no more digits than mean something."""
    return significant(figure.value, 3 if figure.interval is None else 4)


def quantity(figure: Figure) -> str:
    """Return the value with its unit, as in a sentence: 12.3 ms, 5.21×, 40 %."""
    value = significant(figure.value, 3)
    return f"{value}×" if figure.unit == "x" else f"{value} {figure.unit}".rstrip()


def wanted(figure: Figure) -> str:
    """Return the target as it is read, nothing without one: ≥ 20×, ≤ 5 ms."""
    target = (figure.target or "").replace(" x", "×")
    return target.replace(">=", "≥").replace("<=", "≤")


def doubt(figure: Figure) -> str:
    """Return the interval of a ratio, or the spread of the rounds; nothing of a single round."""
    if figure.interval is not None:
        low, high = (significant(each, 4) for each in figure.interval)
        return f"[{low}, {high}]"
    return "" if figure.spread is None else f"± {figure.spread:.0%}"


def significant(value: float, digits: int) -> str:
    """Return a number with so many digits, those before the point all of them."""
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"
