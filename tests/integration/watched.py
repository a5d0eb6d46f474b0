"""A service that a real Prometheus watches closely, and what is known to have been done with it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from alerts.monitor.prometheus import Prometheus
from service.storage.embedded import EmbeddedPostgres
from tests.drills.instance import Instance
from tests.drills.traders import Traders
from tests.drills.upstream import Upstream

INTERVAL_S = 1.0
RATE_INTERVAL_S = 8


class Known(NamedTuple):
    """So many of a metric were done, and no others, whatever their labels.

    A gauge has that value, a counter has grown by it.
    """

    metric: str
    number: int
    labels: Mapping[str, str] = MappingProxyType({})


@dataclass
class Watched:
    """The service, who watches it, and what is known of it.

    Attributes:
        began, counted, ended: Unix times: from when on what is known was done, when it was
            counted, and when all was over.
        known: what was done between the first two.
        fired_when_well: the alerts that fired before there was trouble.
        asked_of_cache: from when on accounts were asked of the cache: half of them in vain.
    """

    service: Instance
    postgres: EmbeddedPostgres
    database: str
    prometheus: Prometheus
    upstream: Upstream
    traders: Traders
    began: float = 0.0
    counted: float = 0.0
    ended: float = 0.0
    known: list[Known] = field(default_factory=list)
    asked_of_cache: float = 0.0
    fired_when_well: set[str] = field(default_factory=set)

    def macros(self, at: float) -> dict[str, str]:
        """Return what Grafana would put for its macros and variables at a Unix time."""
        return {
            "__rate_interval": f"{RATE_INTERVAL_S}s",
            "__range": f"{round(at - self.began) + RATE_INTERVAL_S}s",
            "__interval": f"{INTERVAL_S:g}s",
            "job": ".+",
            "instance": ".+",
        }

    def with_addresses(self, text: str) -> str:
        """Return lines for a service of `make run` with the addresses of this one."""
        for written, ours in (
            ("http://127.0.0.1:9464", f"http://{self.service.ops}"),
            ("http://127.0.0.1:8080", self.service.api),
            ("BIN=.venv/bin", f"BIN={Path(sys.executable).parent}"),
            (".tapewatch/postgres", str(self.postgres.process.data_dir)),
            ("-p 54329", f"-p {self.postgres.port}"),
            ("-d tapewatch", f"-d {self.database}"),
        ):
            assert written in text
            text = text.replace(written, ours)
        return text

    async def instant(self, query: str, at: float) -> list[dict[str, Any]]:
        """Return the samples of a query at a Unix time. Raises Refused."""
        answer = await self.prometheus.get("/api/v1/query", query=query, time=str(at))
        return _vector(answer["data"])

    async def drawn(self, query: str, start: float, end: float) -> list[dict[str, Any]]:
        """Return the series of a query, a value a second. Raises Refused."""
        answer = await self.prometheus.get(
            "/api/v1/query_range", query=query, start=str(start), end=str(end), step="1"
        )
        series: list[dict[str, Any]] = answer["data"]["result"]
        return series


def _vector(data: dict[str, Any]) -> list[dict[str, Any]]:
    if data["resultType"] == "scalar":
        return [{"metric": {}, "value": data["result"]}]
    result: list[dict[str, Any]] = data["result"]
    return result
