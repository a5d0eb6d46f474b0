"""The webhook at the end of the line: takes notifications, and serves the runbooks they link to.

`POST /notify/RECEIVER` is Alertmanager's webhook, `GET /runbooks/NAME.md` a runbook as plain text,
`GET /d/UID` a dashboard, where there is somebody who draws it.

Invariants: a notification counts once it was read whole; what is no notification is refused (400)
and changes nothing. At most `KEPT` are remembered, the newest.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from alerts.monitor.notification import Notification, read
from alerts.monitor.server import LOOPBACK, MonitorError

RUNBOOKS = Path(__file__).resolve().parents[1] / "runbooks"
KEPT = 10_000
MAX_BODY_BYTES = 16 * 2**20
SHUTDOWN_TIMEOUT_S = 2.0


class Webhook:
    """One webhook; `async with` starts and stops it.

    Args:
        on_notification: called with each, in the order they arrive.
        runbooks: folder of the runbooks.
        dashboards: answers requests for them.
        host: address to listen on.
        port: to listen on; None takes a free one.
    """

    def __init__(
        self,
        on_notification: Callable[[Notification], None] | None = None,
        *,
        runbooks: Path = RUNBOOKS,
        dashboards: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None,
        host: str = LOOPBACK,
        port: int | None = None,
    ) -> None:
        self.notifications: deque[Notification] = deque(maxlen=KEPT)
        self._on_notification = on_notification
        self._runbooks = runbooks
        self._dashboards = dashboards
        self._host = host
        self._port = port or 0
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    @property
    def notify_url(self) -> str:
        return f"{self.url}/notify"

    @property
    def runbooks_url(self) -> str:
        return f"{self.url}/runbooks"

    async def start(self) -> None:
        """Listen. Raises MonitorError where the port is in use."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.add_routes(
            [
                web.post("/notify/{receiver}", self._notify),
                web.get("/runbooks/{name}", self._runbook),
            ]
        )
        if self._dashboards is not None:
            application.router.add_get("/d/{uid}", self._dashboards)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            await runner.cleanup()
            raise MonitorError(
                f"the webhook cannot listen on {self._host}:{self._port} ({error.strerror}): end "
                "what does, or choose another port"
            ) from error
        self._port = runner.addresses[0][1]
        self._runner = runner

    async def stop(self) -> None:
        """Stop listening. Stopped is fine."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def wait_for(
        self, wanted: Callable[[Notification], bool], timeout: float
    ) -> Notification:
        """Return the first notification that is wanted, of those kept and those to come.

        Raises TimeoutError after `timeout` seconds.
        """
        async with asyncio.timeout(timeout), self._arrived:
            while True:
                for notification in self.notifications:
                    if wanted(notification):
                        return notification
                await self._arrived.wait()

    async def _notify(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            notification = read(body, time.time())
        except msgspec.MsgspecError as error:
            raise web.HTTPBadRequest(text=f"this is no notification: {error}\n") from error
        async with self._arrived:
            self.notifications.append(notification)
            self._arrived.notify_all()
        if self._on_notification is not None:
            self._on_notification(notification)
        return web.Response()

    async def _runbook(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        known = {path.name: path for path in self._runbooks.glob("*.md")}
        if name not in known:
            raise web.HTTPNotFound(text=f"there is no runbook {name}\n")
        return web.Response(text=known[name].read_text(encoding="utf-8"))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
