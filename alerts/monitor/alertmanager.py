"""Alertmanager on loopback: shipped routes, inhibition, templates and times; webhooks to us.

Invariants: of `alerts/alertmanager/alertmanager.yml` only this is replaced: how each receiver is
reached, by a webhook to `<notify_url>/<receiver>`, so that no secret is needed; where given, how
long a group waits; and nothing is muted on weekends, for the simulated feed knows none. A receiver
that reaches nobody still does, and one that is not told of resolved alerts still is not.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from alerts.monitor.binaries import Programs
from alerts.monitor.server import Server

SHIPPED = Path(__file__).resolve().parents[1] / "alertmanager" / "alertmanager.yml"
TRANSPORTS = "_configs"
QUIET = frozenset({"email_configs", "slack_configs", "wechat_configs"})
"""Transports that tell of resolved alerts only where the configuration says so."""


class Alertmanager(Server):
    """One Alertmanager.

    Args:
        programs: from `find_programs`.
        folder: for its data, configuration and log.
        notify_url: where notifications go, the receiver's name appended; `Webhook.notify_url`.
        group_wait_s, group_interval_s: in place of those of every route, seconds.
        muting: mute at the times at which what ships does.
        shipped: the configuration to derive ours from.
        port: to listen on; None takes a free one.
    """

    def __init__(
        self,
        programs: Programs,
        folder: Path,
        *,
        notify_url: str,
        group_wait_s: float | None = None,
        group_interval_s: float | None = None,
        muting: bool = False,
        shipped: Path = SHIPPED,
        port: int | None = None,
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
        shipped: dict[str, Any] = yaml.safe_load(self._shipped.read_text(encoding="utf-8"))
        timeout = shipped.get("global", {}).get("resolve_timeout")
        shipped["global"] = {} if timeout is None else {"resolve_timeout": timeout}
        shipped["templates"] = [
            str(self._shipped.parent / pattern) for pattern in shipped.get("templates", [])
        ]
        shipped["receivers"] = [self._reached_here(each) for each in shipped["receivers"]]
        routes = [shipped["route"], *_below(shipped["route"])]
        for name, seconds in self._waits.items():
            if seconds is not None:
                shipped["route"][name] = None
                for route in routes:
                    if name in route:
                        route[name] = f"{round(seconds * 1000)}ms"
        if not self._muting:
            for route in routes:
                route.pop("mute_time_intervals", None)
        return shipped

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

    def _reached_here(self, receiver: dict[str, Any]) -> dict[str, Any]:
        name = receiver["name"]
        told = [
            transport.get("send_resolved", key not in QUIET)
            for key, transports in receiver.items()
            if key.endswith(TRANSPORTS)
            for transport in transports
        ]
        if not told:
            return {"name": name}
        webhook = {"url": f"{self._notify_url}/{name}", "send_resolved": any(told)}
        return {"name": name, "webhook_configs": [webhook]}


def _below(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for child in route.get("routes", []):
        yield child
        yield from _below(child)
