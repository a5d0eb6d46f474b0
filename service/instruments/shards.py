"""Roles and shards: who trades what, and how it changes hands."""

from collections.abc import Callable

from telemetry import catalogue, vocabulary
from telemetry.metrics import Metrics


class ShardInstruments:
    """Roles and shards: who trades what, and how it changes hands."""

    def __init__(self, metrics: Metrics) -> None:
        self._role = metrics.gauge(catalogue.ROLE)
        self._led = metrics.gauge(catalogue.SHARD_LED)
        self._taken = metrics.counter(catalogue.SHARD_TAKEN)
        self._left = metrics.counter(catalogue.SHARDS_LEFT)
        self._without_leader = metrics.histogram(catalogue.WITHOUT_LEADER).child()
        self._engines = metrics.gauge(catalogue.ENGINES).child()
        self._fair_share = metrics.gauge(catalogue.FAIR_SHARE).child()
        self._settings_behind = metrics.gauge(catalogue.SETTINGS_BEHIND).child()
        self._unanswered = metrics.counter(catalogue.BUS_UNANSWERED)

    def has_role(self, role: str) -> None:
        """Export the role of this process: all, feed, engine or gateway."""
        self._role.child(role).set(1)

    def declare_shards(self, count: int) -> None:
        """Make the series of shards exist, also in a process that trades none.

        So that a deployment without an engine says of each shard that nobody trades it.
        """
        for number in range(count):
            self._declare(str(number))

    def watch_shard(self, number: int, is_led: Callable[[], bool]) -> None:
        """Export whether this process trades a shard, asked for at scrape."""
        self._declare(str(number))
        self._led.child(str(number)).read = is_led

    def shard_taken(self, number: int, reason: str, without_leader_s: float) -> None:
        """Count a shard that is traded here from now on, and how long nobody had traded it.

        `reason` is how its lease had become free: released or expired.
        """
        self._taken.child(str(number), reason).value += 1
        self._without_leader.observe(max(0.0, without_leader_s))

    def shard_left(self, reason: str) -> None:
        """Count a shard that is traded here no more.

        For shutdown, for the fair_share of others, lost to another, failed, or lost with the
        database.
        """
        self._left.child(reason).value += 1

    def watch_engines(self, alive: Callable[[], int], share: Callable[[], int]) -> None:
        """Export how many engines share the shards, and the fair share of this one."""
        self._engines.read = alive
        self._fair_share.read = share

    def watch_settings(self, behind: Callable[[], int]) -> None:
        """Export how many stored changes of settings wait to be taken over here."""
        self._settings_behind.read = behind

    def _declare(self, shard: str) -> None:
        self._led.declare(shard)
        self._unanswered.declare(shard)
        for reason in vocabulary.SHARD_TAKEN:
            self._taken.declare(shard, reason)
