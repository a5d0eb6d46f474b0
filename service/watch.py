"""A look at the stream: what a trader is sent, printed as it comes, one JSON message a line."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TextIO

import aiohttp
from aiohttp import ClientWebSocketResponse, WSMsgType

from service.api.openapi import STREAM_PATH

CONNECT_TIMEOUT_S = 10.0
WINDOW_BITS = 15
_PORTFOLIO = '{"type":"portfolio"'
_REFUSALS = {
    401: "its signing secret is another one: set the same TAPEWATCH_DATA_DIR or "
    "TAPEWATCH_JWT_SECRET as for the service",
    404: "there is no such account",
    429: "too many streams are open, or were asked for at once: close one, and wait",
    503: "it cannot serve now: see /readyz on its ops port",
}


class CannotWatch(Exception):
    """The stream did not open, or has ended; the message says why."""


async def watch(
    host: str,
    port: int,
    token: str,
    symbols: Sequence[str],
    out: TextIO,
    *,
    with_portfolio: bool = False,
) -> None:
    """Print what an account is sent until cancelled; quotes of `symbols` only, where any are named.

    What the account is worth changes with every tick: it is printed `with_portfolio` alone.

    Raises:
        CannotWatch: nothing answers, the service refuses, or it ends the stream.
    """
    async with _open_stream(host, port, token) as stream:
        if symbols:
            await stream.send_json({"type": "subscribe", "symbols": list(symbols)})
        while (message := await stream.receive()).type is WSMsgType.TEXT:
            if with_portfolio or not message.data.startswith(_PORTFOLIO):
                print(message.data, file=out, flush=True)
    reason = message.extra if message.type is WSMsgType.CLOSE else None
    raise CannotWatch(f"the stream has ended: {reason or 'the connection was lost'}")


@asynccontextmanager
async def _open_stream(host: str, port: int, token: str) -> AsyncIterator[ClientWebSocketResponse]:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        try:
            stream = await session.ws_connect(
                f"http://{host}:{port}{STREAM_PATH}", compress=WINDOW_BITS
            )
        except aiohttp.WSServerHandshakeError as error:
            why = _REFUSALS.get(error.status, "see its log")
            raise CannotWatch(f"the service answers {error.status}: {why}") from None
        except (aiohttp.ClientConnectionError, TimeoutError):
            raise CannotWatch(
                f"nothing answers at {host}:{port}: start the service, or set TAPEWATCH_HOST and "
                "TAPEWATCH_PORT to where it is"
            ) from None
        async with stream:
            yield stream
