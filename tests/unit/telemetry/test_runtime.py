"""The process measures itself."""

import asyncio
import gc
import time

from telemetry import catalogue
from telemetry.metrics import Metrics
from telemetry.runtime import Runtime
from tests.unit.telemetry.test_metrics import samples


async def test_a_blocked_event_loop_shows_as_lag_and_the_sampler_beats() -> None:
    metrics = Metrics()
    runtime = Runtime(metrics)
    task = asyncio.create_task(runtime.run())
    try:
        await asyncio.sleep(0)  # it asks to be woken
        time.sleep(0.2)  # noqa: ASYNC251 - blocking is the point
        while not runtime.pulse.beats:  # noqa: ASYNC110 - a beat has no event
            await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.wait((task,))
    lag = metrics.histogram(catalogue.EVENT_LOOP_LAG).child()
    assert lag.count >= 1
    assert lag.total >= 0.09


async def test_long_collections_are_timed_while_it_runs_and_not_after() -> None:
    metrics = Metrics()
    callbacks = len(gc.callbacks)
    task = asyncio.create_task(Runtime(metrics).run())
    await asyncio.sleep(0)
    gc.collect()
    task.cancel()
    await asyncio.wait((task,))
    pauses = metrics.histogram(catalogue.GC_PAUSE).child("2")
    assert pauses.count == 1
    assert pauses.total > 0
    gc.collect()
    assert pauses.count == 1
    assert len(gc.callbacks) == callbacks


def test_the_process_is_read_when_scraped() -> None:
    metrics = Metrics()
    Runtime(metrics)
    before = gc.get_stats()[2]["collections"]
    gc.collect()
    found = samples(metrics)
    assert found["process_resident_memory_bytes{}"] > 1_000_000
    assert found["process_virtual_memory_bytes{}"] >= found["process_resident_memory_bytes{}"]
    assert found["process_cpu_seconds_total{}"] > 0
    assert 0 < found["process_open_fds{}"] < found["process_max_fds{}"]
    assert found["process_start_time_seconds{}"] <= time.time()
    assert found["python_gc_collections_total{generation=2}"] >= before + 1
