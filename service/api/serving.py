"""How an application is served: on connections with limits, without a word too much in headers.

Every answer says that it is what its type says, is not to be kept, framed or told of, and comes
from no version in particular. aiohttp's access log is off, since it would write down whole URLs,
and of a request that cannot be parsed the log is told no more than that, since it may hold a token.
"""

import logging
import math
from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from loguru import logger

from service.api.connections import Connection, ConnectionRunner, Connections
from service.api.errors import Handler

KEEPALIVE_TIMEOUT_S = 75.0
LINGERING_TIMEOUT_S = 2.0
SHUTDOWN_TIMEOUT_S = 10.0
MAX_HEADER_BYTES = 8 * 1024
CONNECTIONS = web.AppKey("connections", Connections)
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        hdrs.SERVER: "tapewatch",
        hdrs.CACHE_CONTROL: "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
    }
)


def serve_on(app: web.Application, connections: Connections) -> None:
    """Have an application served with these limits by `runner_of`; its middlewares come first."""
    app[CONNECTIONS] = connections
    app.on_response_prepare.append(_add_headers)
    app.middlewares.insert(0, _told)


def runner_of(app: web.Application) -> web.AppRunner:
    """Return a runner of an application that was given to `serve_on`."""
    log = logging.Logger("connections", logging.INFO)
    log.addHandler(_ConnectionLog())
    return ConnectionRunner(
        app,
        app[CONNECTIONS],
        HEADERS,
        access_log=None,
        logger=log,
        keepalive_timeout=KEEPALIVE_TIMEOUT_S,
        lingering_time=LINGERING_TIMEOUT_S,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        # Else aiohttp rounds timers up to whole seconds: hundreds of sockets would be pinged, and
        # answer, in the same moment.
        timeout_ceil_threshold=math.inf,
    )


@web.middleware
async def _told(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell a connection that a request of its has begun, and that it is answered."""
    connection = request.protocol
    assert isinstance(connection, Connection), "serve it with runner_of"
    connection.begin()
    try:
        return await handler(request)
    finally:
        connection.end()


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


class _ConnectionLog(logging.Handler):
    """Passes on what aiohttp logs of connections, but not what it quotes of a bad request."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            # A warning, since only those that repeat are counted instead of written: anybody can
            # send this, as often as connections go.
            logger.warning("a request that is no HTTP was refused: {}", type(error).__name__)
        else:
            logger.opt(exception=error).log(record.levelname, "{}", record.getMessage())
