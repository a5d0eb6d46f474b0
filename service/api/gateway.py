"""The gateway: REST, the stream and the API's own description, as one aiohttp application.

Every call is in `ROUTES`, which registers and documents it. Requests are measured by the template
of their route, so that no path makes a label of its own. Serve it with `runner_of`.
"""

import time
from collections.abc import Sequence

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware
from opentelemetry.trace import SpanKind

from service.api import (
    accounts,
    admin_accounts,
    admin_dealing,
    admin_loops,
    admin_settings,
    admin_tokens,
    market,
    orders,
)
from service.api.account_groups import AccountGroups
from service.api.addresses import Addresses, Network
from service.api.auth import MAX_TOKEN_S, Authenticator, refuse_token_in_url
from service.api.calls import Route, Services, serve
from service.api.connections import ConnectionLimits, Connections
from service.api.deflate import promise_no_context
from service.api.doors import Doors
from service.api.errors import Handler, problems
from service.api.openapi import DOCUMENT_PATH, STREAM_PATH, openapi_document
from service.api.ports import (
    Administration,
    Commands,
    EventFeed,
    Loops,
    Market,
    Portfolios,
    PriceBoard,
    Reader,
)
from service.api.rates import RateLimits, Rates
from service.api.reading import MAX_BODY_BYTES
from service.api.serving import serve_on
from service.api.socket import SocketLimits
from service.api.stream import Stream
from service.api.watched_accounts import WatchedAccounts
from service.instruments import Instruments
from service.loops.revocations import Revocations
from telemetry.span_ids import parse_traceparent
from telemetry.spans import NO_SPAN, AnySpan

UNMATCHED_ROUTE = "unmatched"
OTHER_METHOD = "_OTHER"
WATCHED_ACCOUNTS = web.AppKey("watched_accounts", WatchedAccounts)

ROUTES: tuple[Route, ...] = (
    *orders.ROUTES,
    *accounts.ROUTES,
    *market.ROUTES,
    *admin_accounts.ROUTES,
    *admin_settings.ROUTES,
    *admin_dealing.ROUTES,
    *admin_loops.ROUTES,
    *admin_tokens.ROUTES,
)


def build_gateway(
    *,
    market: Market,
    commands: Commands,
    administration: Administration,
    reader: Reader,
    portfolios: Portfolios,
    board: PriceBoard,
    feed: EventFeed,
    loops: Loops,
    instruments: Instruments,
    revocations: Revocations,
    secret: str,
    previous_secret: str | None = None,
    max_token_s: float = MAX_TOKEN_S,
    version: str,
    limits: SocketLimits | None = None,
    rates: RateLimits | None = None,
    connections: ConnectionLimits | None = None,
    proxies: Sequence[Network] = (),
) -> web.Application:
    """Return the application of 127.0.0.1:8080; have its `WATCHED_ACCOUNTS` pushed to often.

    `proxies` are believed about where a request comes from; `rates` and `connections` None:
    these are not limited.

    Raises:
        ValueError: a signing secret is shorter than 32 bytes.
    """
    addresses = Addresses(proxies)
    doors = Doors(
        Authenticator(secret, revocations, previous_secret, max_token_s),
        Rates(RateLimits() if rates is None else rates),
        addresses,
    )
    services = Services(
        market,
        commands,
        administration,
        reader,
        portfolios,
        board,
        feed,
        loops,
        instruments,
        doors,
        revocations,
        AccountGroups(portfolios),
    )
    stream = Stream(services, SocketLimits() if limits is None else limits)
    document = msgspec.json.encode(openapi_document(ROUTES, version))

    async def describe(request: web.Request) -> web.Response:
        doors.stranger(request)
        return web.Response(body=document, content_type="application/json")

    app = web.Application(
        middlewares=[_measured(instruments), problems, _known_paths(doors)],
        client_max_size=MAX_BODY_BYTES,
    )
    for route in ROUTES:
        app.router.add_route(route.method, route.path, serve(route, services))
    app.router.add_get(STREAM_PATH, stream.handle, allow_head=False)
    app.router.add_get(DOCUMENT_PATH, describe, allow_head=False)
    app.on_response_prepare.append(promise_no_context)
    app.on_shutdown.append(stream.close)
    app[WATCHED_ACCOUNTS] = stream.accounts
    limited = Connections(
        ConnectionLimits() if connections is None else connections,
        addresses,
        lambda status, age_s: instruments.http_request(
            UNMATCHED_ROUTE, OTHER_METHOD, status, age_s
        ),
    )
    serve_on(app, limited)
    instruments.declare_http_routes(
        [
            *((route.method, route.path, min(route.answers)) for route in ROUTES),
            # Whoever is turned away counts from the first on.
            (hdrs.METH_GET, STREAM_PATH, 401),
            (OTHER_METHOD, UNMATCHED_ROUTE, 429),
        ]
    )
    return app


def _known_paths(doors: Doors) -> Middleware:
    """Count what leads nowhere, and refuse a token in a URL wherever it leads."""

    @web.middleware
    async def known_paths(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.http_exception is not None:
            doors.stranger(request)
        refuse_token_in_url(request)
        return await handler(request)

    return known_paths


def _measured(instruments: Instruments) -> Middleware:
    @web.middleware
    async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        resource = request.match_info.route.resource
        route = UNMATCHED_ROUTE if resource is None else resource.canonical
        method = request.method if request.method in hdrs.METH_ALL else OTHER_METHOD
        # A stream lasts as long as its client likes: that is no request's duration.
        if route == STREAM_PATH:
            span: AnySpan = NO_SPAN
        else:
            span = instruments.tracing.root(f"{method} {route}", SpanKind.SERVER)
        with span:
            response = await handler(request)
            if span.is_wanted:
                _explain(span, request, method, route, response.status)
        if response.status != 101:
            seconds = time.perf_counter() - started
            instruments.http_request(route, method, response.status, seconds, span.trace)
        return response

    return measured


def _explain(span: AnySpan, request: web.Request, method: str, route: str, status: int) -> None:
    span.note("http.request.method", method)
    span.note("http.route", route)
    span.note("http.response.status_code", status)
    if status >= 500:
        span.fail(str(status))
    # Strangers do not choose what is sampled: their trace is linked, and this one is ours.
    span.link(parse_traceparent(request.headers.get("traceparent", "")))
