"""Commits, commands and requests."""

from collections.abc import Callable, Iterable

from service.instruments.sums import add_up
from telemetry import catalogue
from telemetry.metrics import Metrics


class WritingInstruments:
    """Commits, commands and requests."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._tick_to_trigger = metrics.histogram(catalogue.TICK_TO_TRIGGER).child()
        self._tick_to_commit = metrics.histogram(catalogue.TICK_TO_COMMIT).child()
        self._commit = metrics.histogram(catalogue.COMMIT).child()
        self._commit_size = metrics.histogram(catalogue.COMMIT_SIZE).child()
        self._decisions = metrics.counter(catalogue.DECISIONS)
        self._conflicts = metrics.counter(catalogue.WRITE_CONFLICTS).child()
        self._commands = metrics.counter(catalogue.COMMAND)
        self._command_s = metrics.histogram(catalogue.COMMAND_S)
        self._http = metrics.histogram(catalogue.HTTP_REQUEST)

    # Writing

    def tick_to_trigger(self, seconds: float, trace: str | None = None) -> None:
        self._tick_to_trigger.observe(seconds, trace)

    def tick_to_commit(self, seconds: float, trace: str | None = None) -> None:
        self._tick_to_commit.observe(seconds, trace)

    def commit(self, size: int, seconds: float, trace: str | None = None) -> None:
        """Take a commit of `size` decisions."""
        self._commit.observe(seconds, trace)
        self._commit_size.observe(size)
        self._decisions.child("committed").value += size

    def decision_failed(self, *, is_conflict: bool) -> None:
        """Count a decision that was rolled back alone; a conflict is one with what is stored."""
        self._decisions.child("failed").value += 1
        self._conflicts.value += is_conflict

    @property
    def failed_decisions(self) -> int:
        """Decisions rolled back alone so far."""
        return int(self._decisions.child("failed").value)

    def decisions_withdrawn(self, count: int = 1) -> None:
        """Count decisions taken back because an earlier one of the account failed."""
        self._decisions.child("withdrawn").value += count

    def decisions_fenced(self, count: int = 1) -> None:
        """Count decisions refused because the lease's epoch is past."""
        self._decisions.child("fenced").value += count

    def watch_writer_queue(self, read: Callable[[], int]) -> None:
        """Export how many decisions of a shard wait, asked for at scrape; shards add up."""
        add_up(self.metrics.gauge(catalogue.WRITER_QUEUE).child(), read)

    # Commands and requests

    def command(self, name: str, code: str, seconds: float, trace: str | None = None) -> None:
        """Take a command answered with OK, a `RejectCode`, UNAVAILABLE, WITHDRAWN or ERROR."""
        self._commands.child(name, code).value += 1
        self._command_s.child(name).observe(seconds, trace)

    def declare_http_routes(self, routes: Iterable[tuple[str, str, int]]) -> None:
        """Make (method, route template, status) series exist, with those of 500 and 503."""
        for method, route, status in routes:
            for each in (status, 500, 503):
                self._http.declare(method, route, str(each))

    def http_request(
        self, route: str, method: str, status: int, seconds: float, trace: str | None = None
    ) -> None:
        """Take an answered request; `route` is the template, never the path."""
        self._http.child(method, route, str(status)).observe(seconds, trace)
