"""What Prometheus says of its alerts, looked at once a second: when each was seen to do what."""

import asyncio
import contextlib
import time
from datetime import datetime
from typing import Any, NamedTuple

import aiohttp

from alerts.monitor.prometheus import Prometheus
from alerts.monitor.server import Refused

LOOK_S = 1.0
WATCHDOG = "TapewatchWatchdog"
_Key = tuple[tuple[str, str], ...]


class Sighting(NamedTuple):
    """An alert as it fired: Unix times of its expression coming true, and of its firing."""

    alert: str
    labels: dict[str, str]
    annotations: dict[str, str]
    true_at: float
    firing_at: float


class Sightings:
    """Looks at one Prometheus until it is cancelled; a look that fails is one not made."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self._firing: dict[_Key, Sighting] = {}
        self.seen: list[Sighting] = []
        self.looks = 0

    async def run(self) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, Refused):
                self._take(await self._prometheus.alerts(), time.time())
            await asyncio.sleep(LOOK_S)

    def _take(self, alerts: list[dict[str, Any]], now: float) -> None:
        firing: dict[_Key, Sighting] = {}
        for alert in alerts:
            labels = alert["labels"]
            if alert["state"] != "firing":
                continue
            key = tuple(sorted(labels.items()))
            sighting = self._firing.get(key)
            if sighting is None:
                true_at = datetime.fromisoformat(_to_microseconds(alert["activeAt"])).timestamp()
                sighting = Sighting(labels["alertname"], labels, alert["annotations"], true_at, now)
                self.seen.append(sighting)
            firing[key] = sighting
        self._firing = firing
        self.looks += 1

    @property
    def now_firing(self) -> set[str]:
        """The alerts that fire now, but for the one that always does."""
        return {each.alert for each in self._firing.values()} - {WATCHDOG}

    @property
    def watchdog_fires(self) -> bool:
        return any(each.alert == WATCHDOG for each in self._firing.values())

    def first(self, alert: str, since: float, labels: dict[str, str]) -> Sighting | None:
        """Return the first firing of an alert with these labels that was seen since a time."""
        for each in self.seen:
            if (
                each.alert == alert
                and each.firing_at >= since
                and labels.items() <= each.labels.items()
            ):
                return each
        return None

    def fired(self, since: float) -> set[str]:
        """Return the alerts that were seen to fire since a time."""
        return {each.alert for each in self.seen if each.firing_at >= since} - {WATCHDOG}


def _to_microseconds(text: str) -> str:
    """Shorten a time in nanoseconds to what Python reads."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return f"{whole}.{fraction[:6]:0<6}+00:00"
