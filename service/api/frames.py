"""WebSocket frames that many sockets share: built once, the same bytes for every transport.

A server's frames are not masked (RFC 6455, 5.2) and no message's compression depends on another's,
so a frame depends on its payload and the window a client can take. `QuotesUpdate` is a group's
prices on their way out: its frame is the board's own bytes; only sockets with a filter or a queue
make it decode them, once for all of these.
"""

import struct

import msgspec

from service.api.deflate import deflate
from service.loops.prices import PricesMessage
from service.storage.group_views import PriceView


class _Head(msgspec.Struct):
    group: str
    sequence: int


_HEAD = msgspec.json.Decoder(_Head)
_QUOTES = msgspec.json.Decoder(PricesMessage)
_FINAL_TEXT = 0x81
_COMPRESSED = 0x40
_SHORT = struct.Struct("!BB").pack
_MEDIUM = struct.Struct("!BBH").pack
_LONG = struct.Struct("!BBQ").pack


def text_frame(payload: bytes, *, is_compressed: bool = False) -> bytes:
    """Return an unmasked, final text frame."""
    length = len(payload)
    first = _FINAL_TEXT | _COMPRESSED if is_compressed else _FINAL_TEXT
    if length < 126:
        return _SHORT(first, length) + payload
    if length < 65536:
        return _MEDIUM(first, 126, length) + payload
    return _LONG(first, 127, length) + payload


class Frame:
    """A message as it goes over the wire, by what a socket can take; each form is built once."""

    __slots__ = ("_deflated", "_payload", "_plain")

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._plain: bytes | None = None
        self._deflated: dict[int, bytes] = {}

    def for_window(self, bits: int) -> bytes:
        """Return the frame for a window of 2^`bits` bytes; 0: without compression."""
        if bits:
            frame = self._deflated.get(bits)
            if frame is None:
                compressed = deflate(self._payload, bits)
                frame = self._deflated[bits] = (
                    self.for_window(0)
                    if compressed is None
                    else text_frame(compressed, is_compressed=True)
                )
            return frame
        if self._plain is None:
            self._plain = text_frame(self._payload)
        return self._plain


class QuotesUpdate:
    """Changed prices of one group, as a `quotes` message in JSON."""

    __slots__ = ("_filtered", "_payload", "_quotes", "frame", "group", "sequence")

    def __init__(self, payload: bytes) -> None:
        head = _HEAD.decode(payload)
        self.group = head.group
        self.sequence = head.sequence
        self.frame = Frame(payload)
        self._payload = payload
        self._quotes: dict[str, PriceView] | None = None
        self._filtered: dict[frozenset[str], QuotesUpdate | None] = {}

    @property
    def quotes(self) -> dict[str, PriceView]:
        """The prices by symbol."""
        if self._quotes is None:
            self._quotes = {quote.symbol: quote for quote in _QUOTES.decode(self._payload).quotes}
        return self._quotes

    def only(self, symbols: frozenset[str]) -> "QuotesUpdate | None":
        """Return the part of these symbols, None where it is empty; shared by equal filters."""
        if symbols not in self._filtered:
            part = {name: quote for name, quote in self.quotes.items() if name in symbols}
            self._filtered[symbols] = (
                quotes_update(self.group, self.sequence, part) if part else None
            )
        return self._filtered[symbols]

    def followed_by(self, later: "QuotesUpdate") -> "QuotesUpdate":
        """Return both as one, with the later price of each symbol."""
        return quotes_update(self.group, later.sequence, self.quotes | later.quotes)


def quotes_update(group: str, sequence: int, quotes: dict[str, PriceView]) -> QuotesUpdate:
    """Return prices as an update of their own."""
    message = PricesMessage(group=group, sequence=sequence, quotes=list(quotes.values()))
    return QuotesUpdate(msgspec.json.encode(message))
