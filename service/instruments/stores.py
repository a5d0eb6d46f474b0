"""Calls of the database and of Redis, and what the cache gives."""

from collections.abc import Callable

from telemetry import catalogue, vocabulary
from telemetry.metrics import Metrics


class StoreInstruments:
    """Calls of the database and of Redis, and what the cache gives."""

    def __init__(self, metrics: Metrics) -> None:
        self._dependency_up = metrics.gauge(catalogue.DEPENDENCY_UP)
        self._store = metrics.histogram(catalogue.STORE_OPERATION)
        self._store_errors = metrics.counter(catalogue.STORE_ERRORS)
        self._cache_requests = metrics.counter(catalogue.CACHE_REQUESTS)
        self._cache_updated = metrics.counter(catalogue.CACHE_UPDATED)
        self._cache_warmed = metrics.counter(catalogue.CACHE_WARMED).child()
        self._cache_audited = metrics.counter(catalogue.CACHE_AUDITED)
        self._cache_differences = metrics.counter(catalogue.CACHE_DIFFERENCES)
        self._portfolio_accounts = metrics.counter(catalogue.PORTFOLIO_ACCOUNTS)
        self._portfolio_prices = metrics.counter(catalogue.PORTFOLIO_PRICES)
        self._redis_memory = metrics.gauge(catalogue.REDIS_MEMORY).child()
        self._redis_memory_max = metrics.gauge(catalogue.REDIS_MEMORY_MAX).child()
        self._redis_evicted = metrics.counter(catalogue.REDIS_EVICTED).child()
        self._redis_hits = metrics.counter(catalogue.REDIS_HITS).child()
        self._redis_misses = metrics.counter(catalogue.REDIS_MISSES).child()
        self._redis_clients = metrics.gauge(catalogue.REDIS_CLIENTS).child()
        for system, operations in (
            ("postgresql", vocabulary.POSTGRESQL_OPERATIONS),
            ("redis", vocabulary.REDIS_OPERATIONS),
        ):
            for operation in operations:
                self._store.declare(system, operation)
                for failure in vocabulary.FAILURES:
                    self._store_errors.declare(system, operation, failure)

    def watch_dependency(self, name: str, is_up: Callable[[], bool]) -> None:
        """Export whether a server this process depends on answers it, asked for at scrape."""
        self._dependency_up.child(name).read = is_up

    def database_call(
        self,
        operation: str,
        seconds: float,
        *,
        failure: str | None = None,
        trace: str | None = None,
    ) -> None:
        """Take a call; `failure` is why it failed, `trace` its trace's id, if that is exported."""
        self._store_call("postgresql", operation, seconds, failure, trace)

    def redis_call(
        self,
        operation: str,
        seconds: float,
        *,
        failure: str | None = None,
        trace: str | None = None,
    ) -> None:
        """Take a call; `failure` is why it failed, `trace` its trace's id, if that is exported."""
        self._store_call("redis", operation, seconds, failure, trace)

    def _store_call(
        self, system: str, operation: str, seconds: float, failure: str | None, trace: str | None
    ) -> None:
        self._store.child(system, operation).observe(seconds, trace)
        if failure is not None:
            self._store_errors.child(system, operation, failure).value += 1

    def cache_request(self, cache: str, result: str, count: int = 1) -> None:
        """Count entries asked of a cache: `hit`, `miss` or `error`."""
        self._cache_requests.child(cache, result).value += count

    def cache_updated(self, outcome: str, count: int = 1) -> None:
        """Count what events did to their accounts' entries: applied, absent, repeated, removed."""
        self._cache_updated.child(outcome).value += count

    def cache_warmed(self, count: int) -> None:
        """Count accounts filled when trading began."""
        self._cache_warmed.value += count

    def cache_audited(self, result: str, count: int) -> None:
        """Count entries looked at: same, different, moved (on their way) or absent."""
        self._cache_audited.child(result).value += count

    def cache_difference(self, kind: str) -> None:
        self._cache_differences.child(kind).value += 1

    def portfolio_accounts(self, result: str, count: int = 1) -> None:
        """Count accounts the portfolio job came to: valued, unpriced, flat or failed."""
        self._portfolio_accounts.child(result).value += count

    def portfolio_prices(self, source: str, count: int = 1) -> None:
        """Count group prices the portfolio job took: from cache, last_known, or none."""
        self._portfolio_prices.child(source).value += count

    def redis_state(
        self, memory: int, memory_max: int, evicted: int, hits: int, misses: int, clients: int
    ) -> None:
        """Take what a Redis server says of itself: bytes, and counts since its start."""
        self._redis_memory.set(memory)
        self._redis_memory_max.set(memory_max)
        self._redis_evicted.value = evicted
        self._redis_hits.value = hits
        self._redis_misses.value = misses
        self._redis_clients.set(clients)
