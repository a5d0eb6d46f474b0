"""Compression of messages, permessage-deflate (RFC 7692), such that sockets can share the result.

aiohttp picks the first offer of a client it can meet and reads what the client compresses, inflated
to at most the size of a message. What is sent is compressed here: nothing is remembered from one
message to the next (`server_no_context_takeover`, which a server may choose unasked), so a message
compressed once is right for every socket of the same window, whatever each was sent before.

Small messages stay as they are: deflate has nothing to find in them. At 150 bytes it saves an
eighth, at 200 a third, at 500 more than half, for some 10 µs a message.
"""

import zlib

from aiohttp import hdrs, web

MIN_BYTES = 200
LARGEST_WINDOW_BITS = 15

_LEVEL = zlib.Z_BEST_SPEED
# A message has a few kilobytes at most: larger tables cost more to clear than they find.
_MEMORY_LEVEL = 5
_FLUSHED = b"\x00\x00\xff\xff"  # left out, for every message ends with it (7.2.1)


def deflate(payload: bytes, window_bits: int) -> bytes | None:
    """Compress a message for a window of 2^9 to 2^15 bytes; None where that does not pay."""
    if len(payload) < MIN_BYTES:
        return None
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -window_bits, _MEMORY_LEVEL)
    compressed = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    compressed = compressed.removesuffix(_FLUSHED)
    return compressed if len(compressed) < len(payload) else None


async def promise_no_context(request: web.Request, response: web.StreamResponse) -> None:
    """Answer a client that offered compression; a signal of aiohttp, before headers are sent."""
    if not isinstance(response, web.WebSocketResponse) or not response.compress:
        return
    answer = "permessage-deflate; server_no_context_takeover"
    if response.compress < LARGEST_WINDOW_BITS:
        answer += f"; server_max_window_bits={int(response.compress)}"
    response.headers[hdrs.SEC_WEBSOCKET_EXTENSIONS] = answer
