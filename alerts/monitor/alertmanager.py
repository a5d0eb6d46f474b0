"""Alertmanager on loopback: shipped routes, inhibition, templates and times; webhooks to us.

Invariants: of `alerts/alertmanager/alertmanager.yml` only this is replaced: how each receiver is
reached, by `local_routes`; where given, how long a group waits; and nothing is muted on weekends,
for the simulated feed knows none.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from alerts.monitor.binaries import Programs
from alerts.monitor.local_routes import SHIPPED, local_routes
from alerts.monitor.server import Server


class Alertmanager(Server):
    """One Alertmanager.

    Args:
        programs: from `find_programs`.
        folder: for its data, configuration and log.
        port: to listen on.
        notify_url: where notifications go, the receiver's name appended; `Webhook.notify_url`.
        group_wait_s, group_interval_s: in place of those of every route, seconds.
        muting: mute at the times at which what ships does.
        shipped: the configuration to derive ours from.
    """

    def __init__(
        self,
        programs: Programs,
        folder: Path,
        *,
        port: int,
        notify_url: str,
        group_wait_s: float | None = None,
        group_interval_s: float | None = None,
        muting: bool = False,
        shipped: Path = SHIPPED,
    ) -> None:
        super().__init__("alertmanager", folder, port)
        self._programs = programs
        self._notify_url = notify_url
        self._waits = {"group_wait": group_wait_s, "group_interval": group_interval_s}
        self._muting = muting
        self._shipped = shipped.resolve()

    async def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts it holds: `labels`, `receivers`, `status` (`state`, `inhibitedBy`)."""
        found: list[dict[str, Any]] = await self.get("/api/v2/alerts")
        return found

    def configuration(self) -> dict[str, Any]:
        """Return what it runs with: the shipped configuration with what is ours in it."""
        configuration = local_routes(self._shipped, self._notify_url)
        configuration["templates"] = [
            str(self._shipped.parent / pattern) for pattern in configuration.get("templates", [])
        ]
        root = configuration["route"]
        routes = [root, *_below(root)]
        for name, seconds in self._waits.items():
            if seconds is not None:
                root[name] = None
                for route in routes:
                    if name in route:
                        route[name] = f"{round(seconds * 1000)}ms"
        if not self._muting:
            for route in routes:
                route.pop("mute_time_intervals", None)
        return configuration

    def command(self) -> list[str]:
        configuration = self.folder / "alertmanager.yml"
        configuration.write_text(yaml.safe_dump(self.configuration()), encoding="utf-8")
        return [
            str(self._programs.alertmanager),
            f"--config.file={configuration}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}",
            f"--web.external-url={self.url}",
            "--cluster.listen-address=",  # alone: it would listen on every interface
        ]

    def working_directory(self) -> Path:
        return self._programs.folder


def _below(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for child in route.get("routes", []):
        yield child
        yield from _below(child)
