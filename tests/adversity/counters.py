"""What processes count that must never happen, over all the processes that a run has had.

A counter starts again with its process; what it had reached when that was last looked at counts on.
"""

from collections import Counter, defaultdict

from prometheus_client.parser import text_string_to_metric_families

from telemetry import catalogue

WATCHED = (
    catalogue.MISSED_TRIGGERS.name,
    catalogue.RECONCILED_ORDERS.name,
    catalogue.CACHE_DIFFERENCES.name,
    catalogue.DECISIONS.name,
    "tapewatch_ticks_lost_total",
)
_NORMAL = frozenset({"committed", "withdrawn", "fenced"})


class Counters:
    """The sums of all processes."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], float] = defaultdict(float)
        self.sums: Counter[tuple[str, str]] = Counter()

    def take(self, process: str, exposition: str) -> None:
        """Add what a process exposes now."""
        # Parsing all of it would take longer than anything else that is done here.
        lines = [line for line in exposition.splitlines(keepends=True) if line.startswith(WATCHED)]
        for family in text_string_to_metric_families("".join(lines)):
            for sample in family.samples:
                if sample.name not in WATCHED:
                    continue
                label = ",".join(sample.labels.values())
                place = process, sample.name, label
                before, self._last[place] = self._last[place], sample.value
                grown = sample.value - before if sample.value >= before else sample.value
                if grown:
                    self.sums[sample.name, label] += round(grown)

    def told(self) -> dict[str, int]:
        """Return the sums by name and label."""
        return {f"{name}{{{label}}}": count for (name, label), count in sorted(self.sums.items())}

    def faults(self) -> list[str]:
        """Return what is not as it must be; a trigger may be missed where ticks were lost."""
        lost = sum(count for (name, _), count in self.sums.items() if "ticks_lost" in name)
        return [
            f"{name}{{{label}}} is {count}"
            for (name, label), count in sorted(self.sums.items())
            if not (name == catalogue.DECISIONS.name and label in _NORMAL)
            and "ticks_lost" not in name
            and not (name == catalogue.MISSED_TRIGGERS.name and lost)
        ]
