"""Connection pools: how long is waited for a connection, and how long it is kept."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from telemetry import catalogue
from telemetry.metrics import Metrics


class Pool:
    """One store's connection pool."""

    def __init__(self, metrics: Metrics, system: str) -> None:
        connections = metrics.gauge(catalogue.POOL_CONNECTIONS)
        self._used = connections.child(system, "used")
        self._idle = connections.child(system, "idle")
        self._limit = metrics.gauge(catalogue.POOL_LIMIT).child(system)
        self._waiters = metrics.gauge(catalogue.POOL_WAITERS).child(system)
        self._timeouts = metrics.counter(catalogue.POOL_TIMEOUTS).child(system)
        self._wait = metrics.histogram(catalogue.POOL_WAIT).child(system)
        self._use = metrics.histogram(catalogue.POOL_USE).child(system)

    def watch(self, used: Callable[[], int], idle: Callable[[], int], limit: int) -> None:
        """Export how many connections are in use and idle, asked for at scrape, and may be."""
        self._used.read = used
        self._idle.read = idle
        self._limit.set(limit)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Measure the wait for a connection; one that ends by an exception ends without one."""
        self._waiters.value += 1
        started = time.perf_counter()
        try:
            yield
        except BaseException:
            self._timeouts.value += 1
            raise
        finally:
            self._waiters.value -= 1
            self._wait.observe(time.perf_counter() - started)

    def used(self, seconds: float) -> None:
        """Take how long a connection was kept."""
        self._use.observe(seconds)


class PoolInstruments:
    """The pools of both stores."""

    def __init__(self, metrics: Metrics) -> None:
        self.database_pool = Pool(metrics, "postgresql")
        self.redis_pool = Pool(metrics, "redis")
