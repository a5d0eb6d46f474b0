"""Upstream frames: exact quotes, and nothing that comes in can do harm."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.quote import Quote
from service.feed.upstream import Frame, FrameReader, encode_subscription
from service.scenario.instruments import INSTRUMENTS

SYMBOLS = {instrument.symbol.name: instrument.symbol for instrument in INSTRUMENTS}
T = 1_546_383_600_071_000_000
GOOD = {
    "type": "quote",
    "symbol": "EURUSD",
    "bid": "1.14605",
    "ask": "1.14643",
    "time": "2019-01-01T23:00:00.071Z",
}
QUOTE = Quote("EURUSD", 114_605, 114_643, T)


def read(*messages: object, single: bool = False) -> Frame:
    data = msgspec.json.encode(messages[0] if single else messages)
    frame = FrameReader().read(data, SYMBOLS)
    assert FrameReader().read(data.decode(), SYMBOLS) == frame, "text and binary are the same"
    return frame


def test_a_quote_alone_and_in_a_list() -> None:
    assert read(GOOD, single=True) == Frame([QUOTE], 1, 0)
    assert read(GOOD, {"type": "heartbeat"}, {**GOOD, "venue": "x"}) == Frame([QUOTE] * 2, 3, 0)


def test_heartbeats_and_confirmations_are_readable() -> None:
    assert read({"type": "heartbeat"}, single=True) == Frame([], 1, 0)
    assert read({"type": "subscribed", "symbols": ["EURUSD"]}, single=True) == Frame([], 1, 0)


def test_an_unknown_symbol_and_absurd_prices_are_left_to_the_guards() -> None:
    frame = read({**GOOD, "symbol": "NOSUCH"}, {**GOOD, "bid": "-1", "ask": "0"})
    assert frame.quotes == [Quote("NOSUCH", 0, 0, T), Quote("EURUSD", -100_000, 0, T)]


@pytest.mark.parametrize(
    "change",
    [
        {"type": "trade"},
        {"type": None},
        {"bid": "1.146051"},
        {"bid": 1.14605},
        {"bid": "nan"},
        {"bid": ""},
        {"ask": None},
        {"time": "yesterday"},
        {"time": 1546383600},
        {"symbol": 5},
    ],
)
def test_a_malformed_message_spoils_only_itself(change: dict[str, object]) -> None:
    assert read(GOOD, {**GOOD, **change}, GOOD) == Frame([QUOTE] * 2, 2, 1)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "x",
        "[",
        "[" * 100_000,
        '{"a":' * 100_000,
        "5",
        "null",
        "{}",
        b"\xff\xfe",
        b'{"type":"\xff"}',
        "\ud800",
    ],
)
def test_garbage_is_one_malformed_message(data: str | bytes) -> None:
    assert FrameReader().read(data, SYMBOLS) == Frame([], 0, 1)


@given(st.one_of(st.text(), st.binary()))
def test_no_frame_raises(data: str | bytes) -> None:
    frame = FrameReader().read(data, SYMBOLS)
    assert frame.readable + frame.malformed >= 0


def test_a_subscription_names_its_symbols() -> None:
    message = encode_subscription(["EURUSD", "USDJPY"])
    assert message == b'{"op":"subscribe","symbols":["EURUSD","USDJPY"]}'
