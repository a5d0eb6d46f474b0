"""The summary of a replay: what it prints at its end."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from service.domain.decision import DealEvent
from service.storage import replays
from service.storage.connection import Connection


class Figures(NamedTuple):
    """What was seen while ticks were fed.

    Attributes:
        seconds: that it took; `refused`: ticks by reason.
        commit_ms: from a tick's arrival to the commit of each decision it caused.
        missed: triggers that only a sweep found; `failed`: decisions that were rolled back.
    """

    ticks: int
    seconds: float
    refused: Mapping[str, int]
    commit_ms: Sequence[float]
    missed: int
    failed: int


async def summarise(connection: Connection, figures: Figures) -> dict[str, object]:
    """Return the summary of what the replay database holds and of how it came there."""
    opened, closed, cancelled = 0, {}, {}
    triggered = 0
    for (event, reason), count in (await replays.count_deals(connection)).items():
        triggered += count
        if event == DealEvent.OPEN:
            opened += count
        elif event == DealEvent.CLOSE:
            closed[reason] = count
        else:
            cancelled[reason] = count
    p50, p99 = _percentiles(figures.commit_ms)
    return {
        "ticks": figures.ticks,
        "ticks_per_second": round(figures.ticks / figures.seconds),
        "refused": dict(sorted(figures.refused.items())),
        "triggered": triggered,
        "opened": opened,
        "closed": closed,
        "cancelled": cancelled,
        "swaps_charged": await replays.count_swaps(connection),
        "tick_to_commit_p50_ms": p50,
        "tick_to_commit_p99_ms": p99,
        "missed_triggers": figures.missed,
        "failed_decisions": figures.failed,
        "ledger_balanced": await replays.unbalanced_accounts(connection) == 0,
    }


def _percentiles(values: Sequence[float]) -> tuple[float | None, float | None]:
    if len(values) < 2:
        only = round(values[0], 3) if values else None
        return only, only
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return round(cuts[49], 3), round(cuts[98], 3)
