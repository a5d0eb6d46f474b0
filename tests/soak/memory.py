"""The memory of this process, sampled each second.

Flat: the median of the last third of the samples is at most `BOUND` times that of the first third,
warm-up left out. Medians, because a checkpoint and a burst are peaks for seconds. A tenth is more
than what fragmentation and a book that breathes by some percent account for (a few MB of about a
hundred), and less than what any leak grows to: at some thousand decisions a second, a hundred bytes
lost for each are over 100 MB after ten minutes.
"""

import asyncio
import resource
from pathlib import Path
from statistics import median

INTERVAL_S = 1.0
BOUND = 1.1
_STATM = Path("/proc/self/statm")
_PAGE_MB = resource.getpagesize() / 2**20


class Memory:
    """Resident set sizes in MB."""

    def __init__(self) -> None:
        self._samples: list[float] = []
        self._warm_from = 0

    async def watch(self) -> None:
        """Sample until cancelled."""
        while True:
            pages = int(_STATM.read_text(encoding="ascii").split()[1])
            self._samples.append(pages * _PAGE_MB)
            await asyncio.sleep(INTERVAL_S)

    def is_warm(self) -> None:
        """Leave out what was sampled so far."""
        self._warm_from = len(self._samples)

    def thirds(self) -> tuple[float, float]:
        """Return the medians of the first and of the last third."""
        samples = self._samples[self._warm_from :]
        third = len(samples) // 3
        assert third, "too short a run to compare its thirds"
        return median(samples[:third]), median(samples[-third:])
