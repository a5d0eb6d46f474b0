"""Latencies in a few kilobytes, however many: counts in buckets that are at most 1.6 % wide.

Up to 128 µs a bucket is 1 µs; above, every power of two has 64. What is below zero counts as 0.
"""

import msgspec

_SUB_BITS = 6
_EXACT = 2 << _SUB_BITS
_LONGEST_US = 1 << 33  # more than two hours
PERCENTS = (50.0, 90.0, 99.0, 99.9)
_CURVE = (*range(0, 100, 5), *range(95, 100), 99.5, 99.9, 99.99, 100)


class LatencyView(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies in milliseconds; all but `count` are None where there were none.

    `distribution` has pairs of a percentage and what so many did not exceed.
    """

    count: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None
    distribution: list[tuple[float, float]]


class Latencies:
    """Counts of latencies."""

    __slots__ = ("_counts", "count", "largest_us")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.largest_us = 0

    def record(self, nanoseconds: int) -> None:
        """Take a latency; beyond two hours it counts as that."""
        value = min(max(0, nanoseconds // 1_000), _LONGEST_US)
        shift = max(0, value.bit_length() - _SUB_BITS - 1)
        bucket = (shift << _SUB_BITS) + (value >> shift)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        if value > self.largest_us:
            self.largest_us = value

    def add(self, others: "Latencies") -> None:
        """Take all latencies of others."""
        for bucket, count in others._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += others.count
        self.largest_us = max(self.largest_us, others.largest_us)

    def percentile_ms(self, percent: float) -> float | None:
        """Return what `percent` of them did not exceed, to 1.6 %; None without any."""
        found = self._percentiles_ms((percent,))
        return found[0] if found else None

    def view(self) -> LatencyView:
        """Show them."""
        figures: list[float | None] = [None, None, None, None]
        figures = list(self._percentiles_ms(PERCENTS)) or figures
        curve = self._percentiles_ms(_CURVE)
        p50, p90, p99, p999 = figures
        return LatencyView(
            count=self.count,
            p50_ms=p50,
            p90_ms=p90,
            p99_ms=p99,
            p999_ms=p999,
            max_ms=self.largest_us / 1e3 if self.count else None,
            distribution=list(zip(map(float, _CURVE), curve, strict=True)) if curve else [],
        )

    def _percentiles_ms(self, percents: tuple[float, ...]) -> list[float]:
        """Return as many values, or none; `percents` ascend."""
        if not self.count:
            return []
        found = []
        buckets = iter(sorted(self._counts.items()))
        seen, bucket = 0, 0
        for percent in percents:
            due = max(1, -(-self.count * percent // 100))
            while seen < due:
                bucket, count = next(buckets)
                seen += count
            found.append(min(_highest_us(bucket), self.largest_us) / 1e3)
        return found


def _highest_us(bucket: int) -> int:
    """Return the largest value of a bucket, so that no percentile is told too small."""
    if bucket < _EXACT:
        return bucket
    shift = (bucket >> _SUB_BITS) - 1
    return ((bucket - (shift << _SUB_BITS) + 1) << shift) - 1
