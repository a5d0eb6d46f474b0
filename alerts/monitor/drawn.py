"""The dashboards as pictures, for who has no Grafana: asked of Prometheus when they are looked at.

`GET /d/UID` takes the variables of Grafana's own links: `var-job`, `var-instance`, and `from` and
`to` in Unix milliseconds; without, it is the last half an hour.
"""

import re
import time
from collections.abc import Sequence
from html import escape

import aiohttp
from aiohttp import web

from dashboards.pictures.answers import Span, ask
from dashboards.pictures.picture import picture
from dashboards.pictures.source import known, read

SHOWN_S = 1800.0
LONGEST_S = 30 * 86400.0
_ALL = ("", "$__all")


class Drawn:
    """Answers requests for dashboards.

    Args:
        interval_s: of Prometheus's scrapes.

    Attributes:
        prometheus_url: whom to ask, "" before it is there.
    """

    def __init__(self, interval_s: float) -> None:
        self.prometheus_url = ""
        self._interval_s = interval_s

    async def page(self, request: web.Request) -> web.Response:
        """Return the page of a dashboard: links to all of them, and its picture."""
        try:
            dashboard = read(request.match_info["uid"])
        except KeyError as error:
            raise web.HTTPNotFound(text=f"there is no dashboard {error}\n") from error
        chosen = {
            name: _pattern(request.query.getall(f"var-{name}", [])) for name in ("job", "instance")
        }
        end = _unix_time(request.query.get("to"), time.time())
        start = _unix_time(request.query.get("from"), end - SHOWN_S)
        if not 0 < end - start <= LONGEST_S:
            raise web.HTTPBadRequest(text="from must be before to, by 30 days at most\n")
        span = Span(start, end, self._interval_s)
        if not self.prometheus_url:
            raise web.HTTPServiceUnavailable(text="Prometheus has not started yet\n")
        try:
            answers = await ask(dashboard, self.prometheus_url, span, chosen)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise web.HTTPBadGateway(text=f"Prometheus does not answer: {error}\n") from error
        drawn = picture(dashboard, answers, span)
        return web.Response(
            text=_page(request.query_string, dashboard["title"], drawn), content_type="text/html"
        )


def _pattern(values: Sequence[str]) -> str:
    """Return a regular expression of what was chosen; a variable that is not given is all."""
    if all(value in _ALL for value in values):
        return ".+"
    pattern = "|".join(re.escape(value) for value in values)
    return pattern.replace("\\", "\\\\").replace('"', '\\"')  # as PromQL writes strings


def _unix_time(milliseconds: str | None, default: float) -> float:
    if milliseconds is None or not milliseconds.isdecimal():
        return default
    return int(milliseconds) / 1000


def _page(query: str, title: str, drawn: str) -> str:
    links = " ".join(f'<a href="/d/{uid}?{escape(query)}">{uid}</a>' for uid in known())
    style = "body{background:#111217;color:#ccccdc;font:13px sans-serif}a{color:#6e9fff}"
    return (
        f'<!doctype html><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style><p>{links}</p>{drawn}"
    )
