"""What came in, as validated values; what cannot be one is refused with the field at fault.

Bodies are JSON objects of at most `MAX_BODY_BYTES`, which must arrive within `BODY_TIMEOUT_S`.
"""

import asyncio
import re
from typing import TypeVar

import msgspec
from aiohttp import web

from service.api.errors import ApiError, TransportCode
from service.api.requests import DECIMAL_PATTERN, KEY_PATTERN, NAME_PATTERN, TOKEN_ID_PATTERN

MAX_BODY_BYTES = 16 * 1024
BODY_TIMEOUT_S = 10.0

_FIELD = re.compile(r" - at `(?:key in )?\$\.?(.*)`$")
_NAMED_FIELD = re.compile(r"(?:unknown|required) field `(.*)`$")
_KEY = re.compile(KEY_PATTERN)

Shape = TypeVar("Shape")


def read_key(request: web.Request) -> str | None:
    """Return the idempotency key of a request, None for none."""
    keys = request.headers.getall("Idempotency-Key", [])
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.search(keys[0]):
        raise ApiError(
            TransportCode.VALIDATION_FAILED,
            "Idempotency-Key must be 1 to 64 printable ASCII characters without blanks, once, and "
            "the first one no tilde",
            "Idempotency-Key",
        )
    return keys[0]


async def read_body(request: web.Request, shape: type[Shape]) -> Shape:
    """Return the validated body of a request.

    Raises:
        ApiError: UNSUPPORTED_MEDIA_TYPE, REQUEST_TIMEOUT, BAD_REQUEST (it ended early or cannot be
            decoded), INVALID_JSON or VALIDATION_FAILED.
    """
    if request.content_type != "application/json":
        raise ApiError(
            TransportCode.UNSUPPORTED_MEDIA_TYPE, "send JSON, with Content-Type: application/json"
        )
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            data = await request.read()
    except TimeoutError:
        raise ApiError(
            TransportCode.REQUEST_TIMEOUT, f"the body did not arrive within {BODY_TIMEOUT_S:g} s"
        ) from None
    except (web.RequestPayloadError, ConnectionError):
        raise ApiError(
            TransportCode.BAD_REQUEST, "the body ended early, or is not encoded as its header says"
        ) from None
    return read_json(msgspec.json.Decoder(shape), data)


def read_json(decoder: msgspec.json.Decoder[Shape], data: bytes | str) -> Shape:
    """Return JSON as a validated value.

    Raises:
        ApiError: INVALID_JSON, or VALIDATION_FAILED with the field at fault.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise validation_failed(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(TransportCode.INVALID_JSON, f"this is not JSON: {error}") from None
    except RecursionError:
        raise ApiError(TransportCode.INVALID_JSON, "this JSON is nested too deeply") from None


def read_query(request: web.Request, shape: type[Shape]) -> Shape:
    """Return the validated query of a request; each parameter at most once."""
    for name in request.query:
        if len(request.query.getall(name)) > 1:
            raise ApiError(TransportCode.VALIDATION_FAILED, f"give {name} once", name)
    try:
        return msgspec.convert(dict(request.query), shape, strict=False)
    except msgspec.ValidationError as error:
        raise validation_failed(error) from None


def validation_failed(error: msgspec.ValidationError) -> ApiError:
    """Return what is wrong with which field, in words for those who sent it."""
    text = str(error)
    found = _FIELD.search(text)
    field = found.group(1) if found else None
    rule = text[: found.start()] if found else text
    named = _NAMED_FIELD.search(rule)
    if named:
        field = named.group(1)
    if DECIMAL_PATTERN in rule:
        rule = 'expected a plain decimal string such as "1.08500"'
    elif rule.startswith("Expected `str") and rule.endswith(("got `int`", "got `float`")):
        rule = (
            "expected a string, got a JSON number: prices, volumes and money are decimal strings "
            'such as "1.08500", so that they stay exact'
        )
    elif NAME_PATTERN in rule:
        rule = "expected a name of 1 to 32 letters, digits and . _ # -"
    elif KEY_PATTERN in rule:
        rule = "expected 1 to 64 printable ASCII characters without blanks, the first one no tilde"
    elif TOKEN_ID_PATTERN in rule:
        rule = "expected 1 to 64 printable ASCII characters without blanks"
    return ApiError(
        TransportCode.VALIDATION_FAILED, f"{field}: {rule}" if field else rule, field or None
    )
