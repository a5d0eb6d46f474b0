"""Pages of lists, newest or lowest first, by opaque cursors.

A cursor is the id its page ended with, bound to its list, so that it cannot be used on another.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from service.api.errors import ApiError, TransportCode

MAX_ID_DIGITS = 18

Item = TypeVar("Item")


def write_cursor(listing: str, last_id: int) -> str:
    """Return the cursor of the page that follows `last_id`."""
    return base64.urlsafe_b64encode(f"{listing}:{last_id}".encode()).decode().rstrip("=")


def read_cursor(listing: str, cursor: str | None) -> int | None:
    """Return the id a page follows, None for the first page.

    Raises:
        ApiError: VALIDATION_FAILED, this is no cursor of this list.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    name, _, last_id = text.partition(":")
    if name != listing or not last_id.isdigit() or len(last_id) > MAX_ID_DIGITS:
        raise ApiError(
            TransportCode.VALIDATION_FAILED,
            f"cursor must be the next_cursor of a page of {listing}, as it was given",
            "cursor",
        )
    return int(last_id)


def cut_page(
    listing: str, found: Sequence[Item], limit: int, id_of: Callable[[Item], int]
) -> tuple[list[Item], str | None]:
    """Return a page of what a read of `limit + 1` found, and the cursor of the next one."""
    page = list(found[:limit])
    if len(found) <= limit:
        return page, None
    return page, write_cursor(listing, id_of(page[-1]))
