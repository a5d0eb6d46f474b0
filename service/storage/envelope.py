"""What is published of an event: its JSON, behind the trace that it belongs to if that is exported.

A W3C `traceparent` of 55 characters, and then JSON, which begins with a brace: no client ever sees
the former.
"""

import msgspec

from telemetry.span_ids import SpanIds, parse_traceparent

_LENGTH = 55
_BRACE = ord("{")


class EventHead(msgspec.Struct):
    """What one has to know of an event to deliver it."""

    account_id: int
    sequence: int


head_from = msgspec.json.Decoder(EventHead).decode


def wrap(payload: bytes | str, ids: SpanIds | None) -> bytes | str:
    """Return what to publish."""
    if ids is None:
        return payload
    text = payload if isinstance(payload, str) else payload.decode()
    return ids.traceparent + text


def unwrap(message: bytes) -> tuple[bytes, SpanIds | None]:
    """Return the event as JSON, and the span that published it if it is traced."""
    if message[0] == _BRACE:
        return message, None
    return message[_LENGTH:], parse_traceparent(message[:_LENGTH].decode("ascii", "replace"))
