"""The messages of an upstream feed, JSON over a WebSocket.

From upstream, one message or a list of them in a text frame:

    {"type": "quote", "symbol": "EURUSD", "bid": "1.14605", "ask": "1.14643",
     "time": "2019-01-01T23:00:00.071Z"}
    {"type": "heartbeat"}
    {"type": "subscribed", "symbols": ["EURUSD"]}

To upstream, once after each connection is made, and again for symbols that are added later:

    {"op": "subscribe", "symbols": ["EURUSD", "USDJPY"]}

Prices are decimal strings, so that they become points exactly; a JSON number is refused. A message
is malformed if it is none of these, or its prices have more decimals than the symbol. In a list
each message stands for itself. Fields that are not known are ignored.
"""

import contextlib
from collections.abc import Iterable, Mapping

import msgspec

from service.domain.instrument import Symbol
from service.domain.quote import Quote
from service.scenario.decimals import Scaled
from service.scenario.times import Times

MAX_FRAME_BYTES = 1_048_576
_LIST = ("[", b"[")
# Deep nesting ends in a RecursionError, which the decoder raises before anything overflows.
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class UpstreamQuote(msgspec.Struct, frozen=True, tag_field="type", tag="quote"):
    """A quote as it comes. Times are ISO 8601 UTC."""

    symbol: str
    bid: str
    ask: str
    time: str


class Heartbeat(msgspec.Struct, frozen=True, tag_field="type", tag="heartbeat"):
    """Upstream is alive and has nothing to say."""


class Subscribed(msgspec.Struct, frozen=True, tag_field="type", tag="subscribed"):
    """Upstream confirms a subscription."""

    symbols: tuple[str, ...] = ()


class Subscribe(msgspec.Struct, frozen=True, tag_field="op", tag="subscribe"):
    """Ask for the quotes of symbols."""

    symbols: tuple[str, ...]


Message = UpstreamQuote | Heartbeat | Subscribed


class Frame(msgspec.Struct, frozen=True):
    """What a frame held: its quotes, how many messages could be read, and how many could not."""

    quotes: list[Quote]
    readable: int
    malformed: int


def encode_subscription(symbols: Iterable[str]) -> bytes:
    """Return the message that subscribes to symbols."""
    return msgspec.json.encode(Subscribe(tuple(symbols)))


class _Prices(Scaled):
    """So few that to forget them all takes less than a millisecond."""

    __slots__ = ()
    MAX_REMEMBERED = 10_000


class _Points(dict[int, Scaled]):
    """What prices were read as, by the digits of their symbols."""

    __slots__ = ()

    def __missing__(self, digits: int) -> Scaled:
        return self.setdefault(digits, _Prices(digits))


class FrameReader:
    """Reads frames. A symbol that is not known gives a quote with prices of 0 under its name."""

    def __init__(self) -> None:
        self._one: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
        self._many: msgspec.json.Decoder[list[Message]] = msgspec.json.Decoder(list[Message])
        self._parts: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(
            list[msgspec.Raw]
        )
        self._times = Times()
        self._points = _Points()

    def read(self, data: str | bytes, symbols: Mapping[str, Symbol]) -> Frame:
        """Read all messages of a frame; never raises for what it holds."""
        is_list = data[:1] in _LIST
        malformed = 0
        try:
            messages = self._many.decode(data) if is_list else [self._one.decode(data)]
        except _UNREADABLE:
            messages, malformed = self._read_apart(data) if is_list else ([], 1)
        quotes = []
        readable = 0
        for message in messages:
            try:
                if type(message) is UpstreamQuote:
                    quotes.append(self._quote(message, symbols))
                readable += 1
            except ValueError:
                malformed += 1
        return Frame(quotes, readable, malformed)

    def _read_apart(self, data: str | bytes) -> tuple[list[Message], int]:
        """Return what can be read of a list, and how many of it cannot."""
        try:
            parts = self._parts.decode(data)
        except _UNREADABLE:
            return [], 1
        messages = []
        for part in parts:
            with contextlib.suppress(*_UNREADABLE):
                messages.append(self._one.decode(part))
        return messages, len(parts) - len(messages)

    def _quote(self, message: UpstreamQuote, symbols: Mapping[str, Symbol]) -> Quote:
        time = self._times.read(message.time)
        symbol = symbols.get(message.symbol)
        if symbol is None:
            return Quote(message.symbol, 0, 0, time)
        points = self._points[symbol.digits]
        return Quote(message.symbol, points[message.bid], points[message.ask], time)
