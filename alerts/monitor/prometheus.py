"""Prometheus on loopback, with the configuration and the rules that are shipped.

Invariants: of `deploy/prometheus/prometheus.yml` only this is replaced: addresses of targets and of
Alertmanager, the intervals, external labels that are given. A job no target is given for is left
out, but for `prometheus` itself. The rule files are the shipped ones, read where they are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from alerts.monitor.binaries import Programs
from alerts.monitor.server import Server

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "deploy" / "prometheus" / "prometheus.yml"
RULES = ROOT / "alerts" / "rules"
FEATURES = "exemplar-storage"
RESENT_AFTER = 2
"""Intervals until a firing alert is sent again. What fires within seconds of the start is sent
before Prometheus has looked Alertmanager's address up, and is lost."""


class Prometheus(Server):
    """One Prometheus.

    Args:
        programs: from `find_programs`.
        folder: for its data, configuration and log.
        port: to listen on.
        targets: addresses (`host:port`) by job: `tapewatch`, `alertmanager`.
        alertmanager: address alerts are sent to; None sends none.
        interval_s: of scrapes and of rule evaluations, seconds.
        external_labels: replace shipped ones: `runbooks_url`, `grafana_url`.
        rules: folder of the rule files.
    """

    def __init__(
        self,
        programs: Programs,
        folder: Path,
        *,
        port: int,
        targets: Mapping[str, Sequence[str]],
        alertmanager: str | None = None,
        interval_s: float = 5.0,
        external_labels: Mapping[str, str] | None = None,
        rules: Path = RULES,
    ) -> None:
        super().__init__("prometheus", folder, port)
        self._programs = programs
        self._targets = {"prometheus": (self.address,), **targets}
        self._alertmanager = alertmanager
        self._interval_s = interval_s
        self._external_labels = dict(external_labels or {})
        self._rules = rules.resolve()

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an instant vector query: `metric` and `value` of each sample.

        Raises Refused where Prometheus cannot make sense of it.
        """
        answer = await self.get("/api/v1/query", query=expression)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    async def alerts(self) -> list[dict[str, Any]]:
        """Return pending and firing alerts: `labels`, `annotations`, `state`, `activeAt`."""
        answer = await self.get("/api/v1/alerts")
        found: list[dict[str, Any]] = answer["data"]["alerts"]
        return found

    def configuration(self) -> dict[str, Any]:
        """Return what it runs with: the shipped configuration with what is ours in it."""
        shipped: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
        interval = _duration(self._interval_s)
        for name in ("scrape_interval", "scrape_timeout", "evaluation_interval"):
            shipped["global"][name] = interval
        shipped["global"]["external_labels"] |= self._external_labels
        shipped["rule_files"] = [str(self._rules / "*.yml")]
        shipped["scrape_configs"] = [
            {key: value for key, value in job.items() if key != "file_sd_configs"}
            | {"static_configs": [{"targets": list(self._targets[job["job_name"]])}]}
            for job in shipped["scrape_configs"]
            if job["job_name"] in self._targets
        ]
        addresses = [] if self._alertmanager is None else [self._alertmanager]
        shipped["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": addresses}]}]
        return shipped

    def command(self) -> list[str]:
        configuration = self.folder / "prometheus.yml"
        configuration.write_text(yaml.safe_dump(self.configuration()), encoding="utf-8")
        return [
            str(self._programs.prometheus),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}",
            f"--web.external-url={self.url}",
            "--web.enable-lifecycle",
            f"--enable-feature={FEATURES}",
            f"--rules.alert.resend-delay={_duration(RESENT_AFTER * self._interval_s)}",
        ]

    def working_directory(self) -> Path:
        return self._programs.folder


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
