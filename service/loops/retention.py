"""Retention: what is older than it has to be kept goes, so slowly that nobody notices.

One process does it, the one that trades. Batches are small, with a pause after each that is longer
than the batch took, and a run ends early when decisions queue up; the next one goes on.
"""

import asyncio
import time
from typing import Protocol

from loguru import logger

from service.storage.retention import KeptFor, Pruning

RETENTION_INTERVAL_S = 60.0
BATCH = 500
REST_LEAST_S = 0.05
REST_SHARE = 4  # pauses to a second of work
RUN_S = 20.0
MAX_BACKLOG = 200


class Writing(Protocol):
    """What trades, as far as it matters here."""

    @property
    def is_writing(self) -> bool: ...
    @property
    def backlog(self) -> int: ...


class Retention:
    """Prunes each table to what it is kept for; what is not named is kept for ever."""

    def __init__(self, pruning: Pruning, trading: Writing, keep: KeptFor) -> None:
        self._pruning = pruning
        self._trading = trading
        self._keep = keep

    async def run_once(self) -> int:
        """Prune for at most `RUN_S`; return how many rows were looked at.

        Raises:
            Unreachable: the database is away.
        """
        if not self._trading.is_writing:
            return 0
        await self._pruning.mark()
        ends = time.monotonic() + RUN_S
        total = 0
        for what, keep in self._keep.items():
            seen = 0
            while time.monotonic() < ends and self._trading.backlog <= MAX_BACKLOG:
                started = time.monotonic()
                batch = await self._pruning.prune(what, keep, BATCH)
                seen += batch
                if batch < BATCH:
                    break
                took_s = time.monotonic() - started
                await asyncio.sleep(max(REST_LEAST_S, took_s * REST_SHARE))
            if seen:
                logger.info("pruned {}: {} rows older than {} days", what, seen, keep.days)
            total += seen
        return total
