"""What Prometheus answers to the queries of a dashboard, over the time that is drawn."""

import asyncio
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

AT_ONCE = 4
TIMEOUT_S = 30.0
STEPS = 240
_MACRO = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is drawn, in Unix seconds, and the scrape interval."""

    start: float
    end: float
    interval_s: float

    @property
    def step_s(self) -> float:
        return max(self.interval_s, math.ceil((self.end - self.start) / STEPS))


@dataclass(frozen=True, slots=True)
class Line:
    """A series: what it is called, its labels, and (Unix time, value) one after another."""

    name: str
    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        return self.points[-1][1]


Answers = Mapping[tuple[int, str], list[Line]]
"""Lines by panel and query letter."""
ALERTS = "alerts"
"""The letter of what a list of alerts asks for."""


async def ask(
    dashboard: Mapping[str, Any], url: str, span: Span, chosen: Mapping[str, str]
) -> Answers:
    """Ask all queries of a dashboard, and for the alerts it lists.

    Args:
        url: of Prometheus.
        chosen: regular expressions by the name of a variable: `job`, `instance`.

    Raises:
        aiohttp.ClientError, TimeoutError: Prometheus does not answer, or refuses a query.
    """
    room = asyncio.Semaphore(AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(url, timeout=timeout, raise_for_status=True) as session:

        async def lines(panel: Mapping[str, Any], target: Mapping[str, Any]) -> list[Line]:
            async with room:
                return await _lines(session, target, span, chosen)

        asked = {
            (panel["id"], target["refId"]): asyncio.ensure_future(lines(panel, target))
            for panel in dashboard["panels"]
            for target in targets_of(panel)
        }
        await asyncio.gather(*asked.values())
    return {key: found.result() for key, found in asked.items()}


def targets_of(panel: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a panel asks for; Grafana gets its lists of alerts by another way."""
    if panel["type"] != "alertlist":
        return list(panel.get("targets", ()))
    query = f"ALERTS{panel['options']['alertInstanceLabelFilter']}"
    return [{"refId": ALERTS, "expr": query, "instant": True}]


async def _lines(
    session: aiohttp.ClientSession,
    target: Mapping[str, Any],
    span: Span,
    chosen: Mapping[str, str],
) -> list[Line]:
    rate_s = max(4 * span.interval_s, span.step_s + span.interval_s)
    macros = {
        "__rate_interval": f"{rate_s * 1000:.0f}ms",
        "__range": f"{(span.end - span.start) * 1000:.0f}ms",
        **chosen,
    }
    query = _MACRO.sub(lambda found: macros[found[1] or found[2]], target["expr"])
    asked: dict[str, str] = {"query": query}
    if target.get("instant"):
        path, asked["time"] = "/api/v1/query", str(span.end)
    else:
        path = "/api/v1/query_range"
        asked |= {"start": str(span.start), "end": str(span.end), "step": f"{span.step_s:g}"}
    async with session.post(path, data=asked) as response:
        data = (await response.json())["data"]
    if data["resultType"] == "scalar":
        return [_line(target, {}, [data["result"]])]
    return [
        _line(target, each["metric"], each.get("values") or [each["value"]])
        for each in data["result"]
    ]


def _line(
    target: Mapping[str, Any], labels: Mapping[str, str], values: list[tuple[float, str]]
) -> Line:
    name = _LABEL.sub(lambda found: labels.get(found[1], ""), target.get("legendFormat", ""))
    return Line(name, labels, tuple((float(at), float(value)) for at, value in values))
