"""Numbers as Grafana would write them in the units the dashboards use."""

import math

_RATES = {
    "ops": " ops/s",
    "cps": " c/s",
    "reqps": " req/s",
    "cpm": " cpm",
    "Bps": "B/s",
    "bytes": "B",
}
_THOUSANDS = ("", "K", "M", "G", "T")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti")
_SECONDS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"))


def shown(value: float, unit: str) -> str:
    """Return a value in a unit of Grafana's, in three digits or so."""
    if not math.isfinite(value):
        return "-"
    match unit:
        case "percentunit":
            return f"{value * 100:.4g}%"
        case "s":
            return _duration(value)
        case "bool_yes_no":
            return "Yes" if value else "No"
        case "bytes" | "Bps":
            return _scaled(value, 1024, _BINARY) + _RATES[unit]
        case _:
            return _scaled(value, 1000, _THOUSANDS) + _RATES.get(unit, "")


def _duration(value: float) -> str:
    for seconds, name in _SECONDS:
        if abs(value) >= seconds:
            return f"{value / seconds:.3g} {name}"
    return "0 s" if not value else f"{value * 1e9:.3g} ns"


def _scaled(value: float, step: int, prefixes: tuple[str, ...]) -> str:
    power = 0
    while abs(value) >= step and power < len(prefixes) - 1:
        value /= step
        power += 1
    digits = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{digits} {prefixes[power]}".strip() if power else digits
