"""One declarative route serves and documents a call: `Route` is all the router and OpenAPI know.

A `Call` reaches its handler authenticated, with its body and query validated; the handler returns
an `Answer`.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web
from loguru import logger

from service.api.account_groups import AccountGroups
from service.api.auth import Principal, Role
from service.api.doors import Doors
from service.api.errors import ApiError, ErrorCode, TransportCode
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
from service.api.reading import read_body, read_key, read_query
from service.domain.decision import EventKind
from service.domain.instrument import SettingsError
from service.domain.rejection import RejectCode, Rejected
from service.instruments import Instruments
from service.loops.answers import Unavailable, Withdrawn
from service.loops.commands import Command
from service.loops.requests import Author
from service.loops.revocations import Revocations
from service.storage.views import EventView
from telemetry.spans import current_span

Body = TypeVar("Body")
Query = TypeVar("Query")


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers work on."""

    market: Market
    commands: Commands
    administration: Administration
    reader: Reader
    portfolios: Portfolios
    board: PriceBoard
    feed: EventFeed
    loops: Loops
    instruments: Instruments
    doors: Doors
    revocations: Revocations
    groups: AccountGroups


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer: a status and what is shown."""

    status: int
    content: msgspec.Struct
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[Body, Query]):
    """A request on its way through a handler."""

    services: Services
    principal: Principal
    body: Body
    query: Query
    path: Mapping[str, str]
    key: str | None

    @property
    def account_id(self) -> int:
        return self.principal.account_id

    def author(self, reason: str | None) -> Author:
        """Return who this call is audited as, and why."""
        return Author(str(self.principal.account_id), reason or "")

    def number(self, name: str, code: RejectCode) -> int:
        """Return a path parameter as an id, or reject with `code` what cannot be one."""
        text = self.path[name]
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise Rejected(code, f"{name} must be a number")
        return int(text)

    async def group(self) -> str:
        """Return the name of the caller's group."""
        return await self.services.groups.of(self.account_id)

    @contextmanager
    def counted(self, name: str) -> Iterator[None]:
        """Count what is done inside as a command, by its answer, and time it."""
        started = time.perf_counter()
        code = "ERROR"
        try:
            yield
            code = "OK"
        except Rejected as error:
            code = error.code
            raise
        except SettingsError:
            code = RejectCode.INVALID_SETTINGS
            raise
        except Unavailable:
            code = "UNAVAILABLE"
            raise
        except Withdrawn:
            code = "WITHDRAWN"
            raise
        finally:
            seconds = time.perf_counter() - started
            request = current_span()
            trace = None if request is None else request.trace
            self.services.instruments.command(name, code, seconds, trace)
            logger.debug(
                "{} for account {}: {} in {:.1f} ms", name, self.account_id, code, seconds * 1000
            )

    async def command(
        self,
        name: str,
        account_id: int,
        key: str | None,
        command: Command,
        expected: frozenset[EventKind],
        order_id: int | None = None,
    ) -> tuple[EventView, bool]:
        """Run a command and return its event, and whether it was only repeated.

        Raises:
            ApiError: IDEMPOTENCY_CONFLICT, the key was used for something else.
        """
        with self.counted(name):
            taken = await self.services.commands.take(account_id, key, command)
        event = taken.event
        told = None if event.order is None else event.order.order_id
        if event.kind not in expected or (order_id is not None and told != order_id):
            raise ApiError(
                TransportCode.IDEMPOTENCY_CONFLICT,
                f"the key {key} was already used for another command: send a new one",
            )
        return event, taken.is_repeated


Handle = Callable[[Call[Any, Any]], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """A call of the API. `role` None is open to everybody; `answers` maps status to type.

    A body that `may_be_empty` can be left out, which means its defaults.
    """

    method: str
    path: str
    summary: str
    handle: Handle
    role: Role | None
    answers: Mapping[int, type[msgspec.Struct]]
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    errors: tuple[ErrorCode, ...] = ()
    takes_key: bool = False
    may_be_empty: bool = False


def serve(route: Route, services: Services) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the aiohttp handler of a route."""

    async def handler(request: web.Request) -> web.Response:
        assert route.role is not None
        principal = services.doors.call(request, route.role)
        query = None if route.query is None else read_query(request, route.query)
        key = read_key(request) if route.takes_key else None
        body = None
        if route.body is not None:
            is_left_out = route.may_be_empty and not request.body_exists
            body = route.body() if is_left_out else await read_body(request, route.body)
        answer = await route.handle(Call(services, principal, body, query, request.match_info, key))
        return web.Response(
            status=answer.status,
            body=msgspec.json.encode(answer.content),
            content_type="application/json",
            headers=answer.headers,
        )

    return handler
