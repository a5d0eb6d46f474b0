"""The ops port: `/metrics`, `/livez`, `/readyz`, `/loops`: for machines, and who runs the service.

`/livez` says that the process and its event loop answer, nothing else. `/readyz` answers 200 while
it may be sent work and 503 else (`service/api/readiness.py`); with `?verbose` it says how long each
check took and how long ago that was. Both answer in JSON, or in plain text to whoever would rather
accept that. `/loops` tells how every background loop is, of a process that has no API too. The port
serves no secrets, and is loopback unless told otherwise.
"""

import msgspec
from aiohttp import hdrs, web

from service.api.addresses import Addresses
from service.api.connections import ConnectionLimits, Connections
from service.api.ports import Loops
from service.api.readiness import CheckResult, Readiness, ReadinessReport
from service.api.replies import LoopsReply
from service.api.scrape import scrape
from service.api.serving import serve_on
from service.instruments import Instruments

LOOPS_PATH = "/loops"
OPS_CONNECTIONS = 100  # of a few who scrape and probe


def build_ops(instruments: Instruments, readiness: Readiness, loops: Loops) -> web.Application:
    """Return the application of the ops port."""

    async def metrics(request: web.Request) -> web.Response:
        return await scrape(request, instruments)

    async def livez(request: web.Request) -> web.Response:
        return _answer(request, 200, {"status": "alive"}, "alive\n")

    async def readyz(request: web.Request) -> web.Response:
        verbose = "verbose" in request.query
        report = await readiness.report(verbose=verbose)
        text = report_text(report) if verbose else f"{report.status}\n"
        return _answer(request, 200 if report.status.is_ready else 503, report, text)

    async def list_loops(request: web.Request) -> web.Response:
        return _json(200, LoopsReply(loops=loops.statuses()))

    app = web.Application()
    serve_on(app, Connections(ConnectionLimits(OPS_CONNECTIONS), Addresses(), lambda *_: None))
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get(LOOPS_PATH, list_loops)
    return app


def report_text(report: ReadinessReport) -> str:
    """Return a report for people: the state, and a line a check."""
    lines = (_check_line(name, check) for name, check in report.checks.items())
    return "".join(f"{line}\n" for line in (report.status, *lines))


def _check_line(name: str, check: CheckResult) -> str:
    mark = "+" if check.ok else "-"
    optional = "" if check.required else " (not required)"
    times = ""
    if check.latency_s is not None and check.age_s is not None:
        times = f" [{check.latency_s * 1000:.1f} ms, {check.age_s:.1f} s ago]"
    return f"[{mark}] {name}{optional}: {check.detail}{times}"


def _answer(request: web.Request, status: int, body: object, text: str) -> web.Response:
    if _prefers_text(request.headers.get(hdrs.ACCEPT, "")):
        return web.Response(status=status, text=text)
    return _json(status, body)


def _json(status: int, body: object) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/json",
    )


def _prefers_text(accept: str) -> bool:
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        media, *parameters = (each.strip().lower() for each in part.split(";"))
        ranges[media] = next(map(_quality, (p for p in parameters if p.startswith("q="))), 1.0)
    anything = ranges.get("*/*", 0.0)
    text = ranges.get("text/plain", ranges.get("text/*", anything))
    json = ranges.get("application/json", ranges.get("application/*", anything))
    return text > json


def _quality(parameter: str) -> float:
    try:
        return float(parameter.removeprefix("q="))
    except ValueError:
        return 0.0
