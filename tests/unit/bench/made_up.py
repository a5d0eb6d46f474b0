"""Results that nobody measured."""

from tests.bench.checkout import Checkout
from tests.bench.machine import Machine
from tests.bench.plots import Curve, Point
from tests.bench.report import Figure
from tests.bench.results import PartResults

MACHINE = Machine("A processor", 2, 8.0, "Linux 6", {"python": "CPython 3.11.7"})
OTHER_MACHINE = Machine("Another processor", 8, 8.0, "Linux 6", {"python": "CPython 3.12"})
CHECKOUT = Checkout("0123456789abcdef", False)
CURVE = Curve(
    "Cost of a tick", "resting orders", "a tick, ns", False, False, {"engine": [Point(10, 2, 1, 3)]}
)


def figure(
    name: str,
    value: float,
    unit: str = "ms",
    *,
    spread: float | None = None,
    interval: tuple[float, float] | None = None,
    target: str | None = None,
    verdict: str | None = None,
) -> Figure:
    return Figure(name, value, unit, spread, interval, target, verdict)


def run_of(
    *figures: Figure,
    machine: Machine = MACHINE,
    checkout: Checkout = CHECKOUT,
    started: str = "2026-01-05T10:00:00+00:00",
) -> PartResults:
    return PartResults(
        title="(a) Ticks.",
        started=started,
        took_s=60.0,
        checkout=checkout,
        machine=machine,
        load_before=(0.1, 0.2, 0.3),
        figures=list(figures),
        plots=[CURVE],
        rounds={"ms": [1.0, 2.0]},
    )
