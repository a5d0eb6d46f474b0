"""The process as a whole: CPU, memory, files, garbage collection, and the event loop's lag.

The lag is how late a task that wants to run every `SAMPLE_S` gets to: whatever blocks the event
loop for longer than a few milliseconds shows, whoever did it. Collections of the youngest
generation are counted and not timed: they happen at every few hundred ticks, and take microseconds.

Limits: what is read from `/proc` stays 0 where there is none.
"""

import asyncio
import gc
import time

from prometheus_client import ProcessCollector

from telemetry import catalogue
from telemetry.metrics import Counter, Gauge, Metrics
from telemetry.pulse import Pulse

SAMPLE_S = 0.1


class Runtime:
    """Measures the process it runs in; `run` must be kept going for the lag and the pauses."""

    def __init__(self, metrics: Metrics) -> None:
        self.pulse = Pulse()
        self._lag = metrics.histogram(catalogue.EVENT_LOOP_LAG).child()
        self._pauses = {
            generation: metrics.histogram(catalogue.GC_PAUSE).child(str(generation))
            for generation in (1, 2)
        }
        self._collection_began = 0.0
        self._collector = ProcessCollector(registry=None)
        self._process: dict[str, Counter | Gauge] = {
            catalogue.PROCESS_CPU.name: metrics.counter(catalogue.PROCESS_CPU).child()
        }
        for metric in (
            catalogue.PROCESS_START,
            catalogue.PROCESS_MEMORY,
            catalogue.PROCESS_VIRTUAL,
            catalogue.PROCESS_FILES,
            catalogue.PROCESS_MAX_FILES,
        ):
            self._process[metric.name] = metrics.gauge(metric).child()
        self._collections = [
            tuple(
                metrics.counter(metric).child(generation)
                for metric in (
                    catalogue.GC_COLLECTIONS,
                    catalogue.GC_COLLECTED,
                    catalogue.GC_UNCOLLECTABLE,
                )
            )
            for generation in catalogue.GENERATIONS
        ]
        metrics.refresh_with(self._refresh)

    async def run(self) -> None:
        """Sample for ever."""
        gc.callbacks.append(self._collecting)
        try:
            while True:
                asked = time.perf_counter()
                await asyncio.sleep(SAMPLE_S)
                self._lag.observe(max(0.0, time.perf_counter() - asked - SAMPLE_S))
                self.pulse.beat()
        finally:
            gc.callbacks.remove(self._collecting)

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        generation = info["generation"]
        if not generation:
            return
        if phase == "start":
            self._collection_began = time.perf_counter()
        else:
            self._pauses[generation].observe(time.perf_counter() - self._collection_began)

    def _refresh(self) -> None:
        for family in self._collector.collect():
            for sample in family.samples:
                self._process[sample.name].value = sample.value
        for counters, stats in zip(self._collections, gc.get_stats(), strict=True):
            for counter, what in zip(
                counters, ("collections", "collected", "uncollectable"), strict=True
            ):
                counter.value = stats[what]
