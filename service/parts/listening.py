"""Listening on a port, or saying why that cannot be and what to do."""

import errno

from aiohttp import web

BACKLOG = 1_024  # thousands of clients come back at once


class CannotListen(Exception):
    """A port that the service should listen on is not to be had; the message says what to do."""


async def listen(runner: web.AppRunner, what: str, host: str, port: int, prefix: str) -> None:
    """Have a runner that is set up listen; `prefix` begins the names of the port's settings.

    Raises:
        CannotListen: the port is in use, or the address is not this machine's.
    """
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"port {port} on {host} is in use, {what} cannot listen there: stop what uses it, "
                f"or set {prefix}_PORT to a free port"
            ) from None
        raise CannotListen(
            f"{what} cannot listen on {host}:{port} ({error.strerror or error}): "
            f"set {prefix}_HOST and {prefix}_PORT to an address of this machine"
        ) from None
