"""Errors as `application/problem+json` (RFC 9457), each with a code from one closed set.

The codes are those of the domain (`RejectCode`) and those of the transport (`TransportCode`);
`STATUS` is the only place that maps them to HTTP. What nobody expected is answered 500 INTERNAL
and logged once; its text never leaves the process.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiohttp import web
from loguru import logger

from service.domain.instrument import SettingsError
from service.domain.rejection import RejectCode, Rejected
from service.loops.answers import Unavailable, Withdrawn
from service.storage.errors import Unreachable

PROBLEM_TYPE = "application/problem+json"
DATABASE_RETRY_S = 1

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TransportCode(StrEnum):
    """Why a request was not even a command."""

    BAD_REQUEST = "BAD_REQUEST"
    INVALID_JSON = "INVALID_JSON"
    VALIDATION_FAILED = "VALIDATION_FAILED"
    TOKEN_IN_URL = "TOKEN_IN_URL"
    MISSING_TOKEN = "MISSING_TOKEN"
    INVALID_TOKEN = "INVALID_TOKEN"
    EXPIRED_TOKEN = "EXPIRED_TOKEN"
    REVOKED_TOKEN = "REVOKED_TOKEN"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    UPGRADE_REQUIRED = "UPGRADE_REQUIRED"
    TOO_MANY_SOCKETS = "TOO_MANY_SOCKETS"
    TOO_MANY_CONNECTIONS = "TOO_MANY_CONNECTIONS"
    RATE_LIMITED = "RATE_LIMITED"
    WITHDRAWN = "WITHDRAWN"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


ErrorCode = RejectCode | TransportCode

STATUS: Mapping[ErrorCode, HTTPStatus] = {
    RejectCode.UNKNOWN_SYMBOL: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.UNKNOWN_ACCOUNT: HTTPStatus.NOT_FOUND,
    RejectCode.ACCOUNT_FAULTED: HTTPStatus.SERVICE_UNAVAILABLE,
    RejectCode.UNKNOWN_GROUP: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.ACCOUNT_EXISTS: HTTPStatus.CONFLICT,
    RejectCode.ORDER_NOT_FOUND: HTTPStatus.NOT_FOUND,
    RejectCode.ORDER_NOT_PENDING: HTTPStatus.CONFLICT,
    RejectCode.ORDER_NOT_OPEN: HTTPStatus.CONFLICT,
    RejectCode.INVALID_VOLUME: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.INVALID_PRICE: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.INVALID_STOP_LOSS: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.INVALID_TAKE_PROFIT: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.INVALID_LIMIT_PRICE: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.INVALID_TRAILING_DISTANCE: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.INVALID_EXPIRY: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.INVALID_AMOUNT: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.INVALID_SETTINGS: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.WRONG_SIDE_OF_MARKET: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.INSUFFICIENT_MARGIN: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.INSUFFICIENT_FUNDS: HTTPStatus.UNPROCESSABLE_ENTITY,
    RejectCode.MARKET_CLOSED: HTTPStatus.CONFLICT,
    RejectCode.CLOSE_ONLY: HTTPStatus.CONFLICT,
    RejectCode.TRADING_HALTED: HTTPStatus.CONFLICT,
    RejectCode.DEAL_NOT_FOUND: HTTPStatus.NOT_FOUND,
    RejectCode.DEAL_NOT_CORRECTABLE: HTTPStatus.CONFLICT,
    RejectCode.NO_QUOTE: HTTPStatus.CONFLICT,
    RejectCode.NO_RATE: HTTPStatus.CONFLICT,
    TransportCode.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    TransportCode.INVALID_JSON: HTTPStatus.BAD_REQUEST,
    TransportCode.VALIDATION_FAILED: HTTPStatus.UNPROCESSABLE_ENTITY,
    TransportCode.TOKEN_IN_URL: HTTPStatus.BAD_REQUEST,
    TransportCode.MISSING_TOKEN: HTTPStatus.UNAUTHORIZED,
    TransportCode.INVALID_TOKEN: HTTPStatus.UNAUTHORIZED,
    TransportCode.EXPIRED_TOKEN: HTTPStatus.UNAUTHORIZED,
    TransportCode.REVOKED_TOKEN: HTTPStatus.UNAUTHORIZED,
    TransportCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    TransportCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    TransportCode.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    TransportCode.REQUEST_TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    TransportCode.IDEMPOTENCY_CONFLICT: HTTPStatus.UNPROCESSABLE_ENTITY,
    TransportCode.PAYLOAD_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TransportCode.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    TransportCode.UPGRADE_REQUIRED: HTTPStatus.UPGRADE_REQUIRED,
    TransportCode.TOO_MANY_SOCKETS: HTTPStatus.TOO_MANY_REQUESTS,
    TransportCode.TOO_MANY_CONNECTIONS: HTTPStatus.TOO_MANY_REQUESTS,
    TransportCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    TransportCode.WITHDRAWN: HTTPStatus.CONFLICT,
    TransportCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    TransportCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_BY_STATUS: Mapping[int, tuple[TransportCode, str]] = {
    404: (TransportCode.NOT_FOUND, "there is nothing here: see /openapi.json"),
    405: (TransportCode.METHOD_NOT_ALLOWED, "this path takes other methods: see Allow"),
    413: (TransportCode.PAYLOAD_TOO_LARGE, "the body is too large"),
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error. `field` names the field at fault, where there is one."""

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, msgspec.Meta(extra_json_schema={"enum": [str(code) for code in STATUS]})]
    field: str | None = None


class ApiError(Exception):
    """An answer that is a problem."""

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        status = STATUS[self.code]
        problem = Problem(
            type=f"urn:tapewatch:problem:{self.code.lower().replace('_', '-')}",
            title=self.code.capitalize().replace("_", " "),
            status=status,
            detail=self.detail,
            code=self.code,
            field=self.field,
        )
        headers = dict(self.headers)
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = (
                "Bearer"
                if self.code is TransportCode.MISSING_TOKEN
                else 'Bearer error="invalid_token"'
            )
        return web.Response(
            status=status,
            body=msgspec.json.encode(problem),
            content_type=PROBLEM_TYPE,
            headers=headers,
        )


def as_api_error(error: Exception) -> ApiError:
    """Return the problem an exception is answered with; the unexpected is logged here, once."""
    match error:
        case ApiError():
            return error
        case Rejected():
            return ApiError(error.code, error.detail, error.field)
        case SettingsError():
            return ApiError(RejectCode.INVALID_SETTINGS, str(error))
        case Unavailable():
            return _unavailable(error.detail, error.retry_after_s)
        case Unreachable():
            return _unavailable("the database is away: try again", DATABASE_RETRY_S)
        case Withdrawn():
            return ApiError(TransportCode.WITHDRAWN, f"it could not be stored: {error}")
        case web.HTTPException():
            return _of_http(error)
    logger.opt(exception=error).error("a request failed unexpectedly")
    return ApiError(TransportCode.INTERNAL, "the service failed: the request may be sent again")


def _unavailable(detail: str, retry_after_s: int) -> ApiError:
    return ApiError(
        TransportCode.UNAVAILABLE,
        detail,
        headers={"Retry-After": str(retry_after_s)},
    )


def _of_http(error: web.HTTPException) -> ApiError:
    code, detail = _BY_STATUS.get(
        error.status, (TransportCode.BAD_REQUEST, f"the request cannot be read: {error.reason}")
    )
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    return ApiError(code, detail, headers=headers)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as problem+json."""
    try:
        return await handler(request)
    except Exception as error:
        return as_api_error(error).response()
