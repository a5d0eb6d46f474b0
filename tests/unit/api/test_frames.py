"""Frames that sockets share."""

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from service.api.frames import QuotesUpdate, quotes_update, text_frame
from service.loops.prices import PricesMessage
from service.storage.group_views import PriceView


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
async def test_a_frame_is_what_a_client_reads(length: int) -> None:
    async def handler(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse(compress=False)
        await response.prepare(request)
        assert request.transport is not None
        request.transport.write(text_frame(b"x" * length) + text_frame(b"next"))
        await response.close()
        return response

    app = web.Application()
    app.router.add_get("/", handler)
    async with TestClient(TestServer(app)) as client, client.ws_connect("/") as socket:
        assert await socket.receive_str() == "x" * length
        assert await socket.receive_str() == "next"


NAMES = st.sampled_from(["EURUSD", "USDJPY", "XAUUSD", "EURPLN"])
PRICES = st.dictionaries(NAMES, st.integers(1, 10**6).map(str))


def update(sequence: int, prices: dict[str, str]) -> QuotesUpdate:
    quotes = {
        name: PriceView(symbol=name, buy=price, sell=price, time="")
        for name, price in prices.items()
    }
    return quotes_update("gold", sequence, quotes)


def read(update: QuotesUpdate) -> tuple[int, dict[str, str]]:
    frame = update.frame.for_window(0)
    payload = frame[frame.index(b"{") :]
    message = msgspec.json.decode(payload, type=PricesMessage)
    return message.sequence, {quote.symbol: quote.buy for quote in message.quotes}


@given(st.lists(PRICES, min_size=1))
def test_updates_that_follow_each_other_keep_the_last_price(changes: list[dict[str, str]]) -> None:
    merged, expected = update(1, changes[0]), dict(changes[0])
    for sequence, change in enumerate(changes[1:], start=2):
        merged = merged.followed_by(update(sequence, change))
        expected |= change
    assert read(merged) == (len(changes), expected)


@given(PRICES, st.frozensets(NAMES))
def test_a_filter_leaves_its_symbols_and_is_encoded_once(
    prices: dict[str, str], symbols: frozenset[str]
) -> None:
    whole = update(7, prices)
    part = whole.only(symbols)
    expected = {name: price for name, price in prices.items() if name in symbols}
    assert (None if part is None else read(part)) == ((7, expected) if expected else None)
    assert whole.only(frozenset(symbols)) is part
