"""Counters over processes that come and go."""

from telemetry import catalogue
from tests.adversity.counters import Counters


def exposed(name: str, label: str, value: int) -> str:
    family = name.removesuffix("_total")
    return f'# TYPE {family} counter\n{name}{{of="{label}"}} {value}\n'


def test_a_counter_goes_on_over_a_restart() -> None:
    counters = Counters()
    for value in (2, 5, 1):
        counters.take("engine-1", exposed(catalogue.DECISIONS.name, "committed", value))
    counters.take("engine-2", exposed(catalogue.DECISIONS.name, "committed", 4))
    assert counters.told() == {"tapewatch_decisions_total{committed}": 10}
    assert counters.faults() == []


def test_what_must_never_happen_is_found() -> None:
    for name in (catalogue.MISSED_TRIGGERS, catalogue.RECONCILED_ORDERS):
        counters = Counters()
        counters.take("engine-1", exposed(name.name, "stop_loss", 1))
        assert counters.faults() == [f"{name.name}{{stop_loss}} is 1"]


def test_decisions_that_failed_are_found() -> None:
    counters = Counters()
    counters.take("engine-1", exposed(catalogue.DECISIONS.name, "failed", 1))
    assert len(counters.faults()) == 1


def test_a_trigger_may_be_missed_where_ticks_were_lost() -> None:
    counters = Counters()
    counters.take("engine-1", exposed(catalogue.MISSED_TRIGGERS.name, "stop_loss", 1))
    counters.take("engine-1", exposed("tapewatch_ticks_lost_total", "", 9))
    assert counters.faults() == []
