"""The OpenAPI 3.1 document, made of the route table and of the very types that validate.

Nothing here is written twice: paths, parameters, bodies, answers and error codes come from `Route`,
schemas from msgspec. The stream's messages are schemas too; OpenAPI has no words for a WebSocket,
so its path tells where they are.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_args

import msgspec

from service.api import messages
from service.api.auth import SUBPROTOCOL, Role
from service.api.calls import Route
from service.api.errors import PROBLEM_TYPE, STATUS, ErrorCode, Problem, TransportCode
from service.api.requests import Key
from service.domain.rejection import RejectCode
from service.loops.prices import PricesMessage
from service.storage.views import EventView

JsonObject = dict[str, Any]

VERSION = "3.1.0"
STREAM_PATH = "/api/v1/stream"
DOCUMENT_PATH = "/openapi.json"
_REFERENCE = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)\}")
_STREAM_TYPES: tuple[type[msgspec.Struct], ...] = (
    messages.Snapshot,
    PricesMessage,
    messages.PortfolioUpdate,
    messages.Subscribed,
    messages.Pong,
    messages.Error,
    EventView,
    *get_args(messages.Incoming),
)
_COMMON = (
    TransportCode.TOKEN_IN_URL,
    TransportCode.REQUEST_TIMEOUT,
    TransportCode.TOO_MANY_CONNECTIONS,
    TransportCode.RATE_LIMITED,
    TransportCode.INTERNAL,
)
_PROTECTED = (
    TransportCode.MISSING_TOKEN,
    TransportCode.INVALID_TOKEN,
    TransportCode.EXPIRED_TOKEN,
    TransportCode.REVOKED_TOKEN,
    TransportCode.FORBIDDEN,
)
_WITH_BODY = (
    TransportCode.BAD_REQUEST,
    TransportCode.INVALID_JSON,
    TransportCode.VALIDATION_FAILED,
    TransportCode.UNSUPPORTED_MEDIA_TYPE,
    TransportCode.PAYLOAD_TOO_LARGE,
    TransportCode.WITHDRAWN,
)
_WITH_KEY = (
    RejectCode.ACCOUNT_FAULTED,
    TransportCode.VALIDATION_FAILED,
    TransportCode.IDEMPOTENCY_CONFLICT,
    TransportCode.WITHDRAWN,
)


def openapi_document(routes: Sequence[Route], version: str) -> JsonObject:
    """Return the document of these routes, for a service of this version."""
    types: list[Any] = [Problem, *_STREAM_TYPES]
    for route in routes:
        types += [each for each in (route.body, *route.answers.values()) if each is not None]
    _, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    paths: dict[str, JsonObject] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    paths[STREAM_PATH] = {"get": _stream()}
    return {
        "openapi": VERSION,
        "info": {
            "title": "Tapewatch",
            "version": version,
            "description": "Prices, volumes (lots) and money are decimal strings in JSON; "
            "times are ISO 8601 UTC. Errors are application/problem+json with a code.",
        },
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def route_errors(route: Route) -> list[ErrorCode]:
    """Return every code a route may answer, in the order of the table."""
    codes: set[ErrorCode] = {*_COMMON, *route.errors, TransportCode.UNAVAILABLE}
    if route.role is not None:
        codes.update(_PROTECTED)
    if route.body is not None:
        codes.update(_WITH_BODY)
    if route.query is not None:
        codes.add(TransportCode.VALIDATION_FAILED)
    if route.takes_key:
        codes.update(_WITH_KEY)
    return [code for code in STATUS if code in codes]


def _operation(route: Route) -> JsonObject:
    operation: JsonObject = {
        "operationId": route.handle.__name__ + ("_admin" if "/admin/" in route.path else ""),
        "summary": route.summary,
        "description": f"Needs a token with the role {route.role}.",
        "security": _security(route.role),
        "tags": [route.path.split("/")[3]],
        "responses": {
            **{str(status): _answer(shape) for status, shape in route.answers.items()},
            **_problems(route_errors(route)),
        },
    }
    parameters = _parameters(route)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.may_be_empty,
            "content": {"application/json": {"schema": _reference(route.body)}},
        }
    return operation


def _parameters(route: Route) -> list[JsonObject]:
    parameters: list[JsonObject] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        _, components = msgspec.json.schema_components([route.query])
        schema = components[route.query.__name__]
        parameters += [
            {"name": name, "in": "query", "required": False, "schema": each}
            for name, each in schema["properties"].items()
        ]
    if route.takes_key:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Sent again with the same key, a command returns its first answer.",
                "schema": msgspec.json.schema(Key),
            }
        )
    return parameters


def _stream() -> JsonObject:
    sent = ", ".join(shape.__name__ for shape in _STREAM_TYPES if shape not in _received())
    received = ", ".join(shape.__name__ for shape in _received())
    return {
        "operationId": "stream",
        "summary": "Open a WebSocket: a snapshot, then quotes, orders and account as they change",
        "description": f"Text frames of JSON. Sent: {sent} (an `order` or `account` message is an "
        f"EventView with a type). Received: {received}. Needs a token with the role trader in the "
        f"Authorization header, or the subprotocols `{SUBPROTOCOL}, bearer.<token>`. Closed with "
        "4401 when the token expires, 4403 when it is revoked, 4408 when the client is too slow, "
        "1001 on shutdown. "
        f"{(messages.__doc__ or '').strip()}",
        "security": _security(Role.TRADER),
        "tags": ["stream"],
        "responses": {
            "101": {"description": "The WebSocket is open."},
            **_problems(
                [
                    *_COMMON,
                    *_PROTECTED,
                    TransportCode.BAD_REQUEST,
                    TransportCode.UPGRADE_REQUIRED,
                    TransportCode.TOO_MANY_SOCKETS,
                    TransportCode.UNAVAILABLE,
                ]
            ),
        },
    }


def _security(role: Role | None) -> list[JsonObject]:
    return [] if role is None else [{"bearer": [str(role)]}]


def _received() -> tuple[type[msgspec.Struct], ...]:
    return get_args(messages.Incoming)


def _reference(shape: type[msgspec.Struct]) -> JsonObject:
    return {"$ref": _REFERENCE.format(name=shape.__name__)}


def _answer(shape: type[msgspec.Struct]) -> JsonObject:
    return {
        "description": (shape.__doc__ or shape.__name__).strip().splitlines()[0],
        "content": {"application/json": {"schema": _reference(shape)}},
    }


def _problems(codes: Sequence[ErrorCode]) -> Mapping[str, JsonObject]:
    by_status: dict[HTTPStatus, list[str]] = {}
    for code in codes:
        by_status.setdefault(STATUS[code], []).append(code)
    return {
        str(int(status)): {
            "description": ", ".join(found),
            "content": {PROBLEM_TYPE: {"schema": _reference(Problem)}},
        }
        for status, found in sorted(by_status.items())
    }
