"""Tick files: exact points, refusals left to the guards, malformed lines reported and skipped."""

from pathlib import Path

import pytest

from service.domain.quote import Quote
from service.scenario.fault import Fault, ScenarioError
from service.scenario.instruments import INSTRUMENTS
from service.scenario.ticks import read_ticks

SYMBOLS = {instrument.symbol.name: instrument.symbol for instrument in INSTRUMENTS}
T = 1_546_383_600_000_000_000
HEADER = "time,symbol,bid,ask\n"


def read(path: Path, text: str | bytes) -> tuple[list[Quote], list[Fault]]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    malformed: list[Fault] = []
    return list(read_ticks(path, SYMBOLS, malformed.append)), malformed


def test_ticks_become_quotes_in_exact_points(tmp_path: Path) -> None:
    quotes, malformed = read(
        tmp_path / "t.csv",
        HEADER + "2019-01-01T23:00:00.071Z,USDJPY,109.676,109.687\n"
        "2019-01-01T23:00:00Z,EURUSD,1.1,1.14643000\r\n"
        '2019-01-01T23:00:01.123456789+00:00,"XAUUSD",2334,2.3345E3',
    )
    assert malformed == []
    assert quotes == [
        Quote("USDJPY", 109_676, 109_687, T + 71_000_000),
        Quote("EURUSD", 110_000, 114_643, T),
        Quote("XAUUSD", 233_400, 233_450, T + 1_123_456_789),
    ]


def test_absurd_but_readable_ticks_are_left_to_the_guards(tmp_path: Path) -> None:
    quotes, malformed = read(
        tmp_path / "t.csv",
        HEADER + "2019-01-01T23:00:00.000Z,EURUSD,0,0.00000\n"
        "2019-01-01T23:00:00.000Z,EURUSD,-1.1,1.1\n"
        "2019-01-01T23:00:00.000Z,EURUSD,1.2,1.1\n"
        "2019-01-01T23:00:00.000Z,NOSUCH,1.2,x\n",
    )
    assert malformed == []
    assert [(q.symbol, q.bid, q.ask) for q in quotes] == [
        ("EURUSD", 0, 0),
        ("EURUSD", -110_000, 110_000),
        ("EURUSD", 120_000, 110_000),
        ("NOSUCH", 0, 0),
    ]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("2019-01-01T23:00:00.071Z,EURUSD,1.1", ""),
        ("2019-01-01T23:00:00.071Z,EURUSD,1.1,1.2,1.3", ""),
        ("2019-01-01T23:00:00.071,EURUSD,1.1,1.2", "time"),
        ("2019-01-01 23:00:00.071Z,EURUSD,1.1,1.2", "time"),
        ("2019-01-01T23:00:00.071+01:00,EURUSD,1.1,1.2", "time"),
        ("2019-02-30T23:00:00.071Z,EURUSD,1.1,1.2", "time"),
        ("1546383600,EURUSD,1.1,1.2", "time"),
        (",EURUSD,1.1,1.2", "time"),
        ("2019-01-01T23:00:00.071Z,,1.1,1.2", "symbol"),
        ("2019-01-01T23:00:00.071Z,EURUSD,,1.2", "bid"),
        ("2019-01-01T23:00:00.071Z,EURUSD,1.100001,1.2", "bid"),
        ("2019-01-01T23:00:00.071Z,EURUSD,1.1,nan", "ask"),
        ("2019-01-01T23:00:00.071Z,EURUSD,1.1,inf", "ask"),
        ("2019-01-01T23:00:00.071Z,EURUSD,1.1,1_1", "ask"),
        ("2019-01-01T23:00:00.071Z,EURUSD,1.1,\u0661", "ask"),
        ("2019-01-01T23:00:00.071Z,EURUSD,1.1, 1.2", "ask"),
        ("2019-01-01T23:00:00.071Z,EURUSD,1.1,1e99", "ask"),
        ("2019-01-01T23:00:00.071Z,EURUSD,1.1,1." + "0" * 40, "ask"),
        ('2019-01-01T23:00:00.071Z,"EURUSD,1.1,1.2', ""),
    ],
)
def test_a_malformed_line_is_reported_and_the_next_is_read(
    tmp_path: Path, line: str, field: str
) -> None:
    good = "2019-01-01T23:00:00.071Z,EURUSD,1.1,1.2\n"
    quotes, malformed = read(tmp_path / "t.csv", f"{HEADER}{good}{line}\n\n{good}")
    assert len(quotes) == 2
    assert [(fault.file, fault.line, fault.field) for fault in malformed] == [("t.csv", 3, field)]
    assert malformed[0].rule


def test_bytes_that_are_not_utf8_spoil_only_their_line(tmp_path: Path) -> None:
    quotes, malformed = read(
        tmp_path / "t.csv",
        HEADER.encode() + b"2019-01-01T23:00:00.071Z,EUR\xffUSD,1.1,1.2\n"
        b"2019-01-01T23:00:00.071Z,EURUSD,1.1,1.2\n",
    )
    assert len(quotes) == 1
    assert [fault.line for fault in malformed] == [2]


@pytest.mark.parametrize("text", ["", "\n", "time,symbol,bid\n", "symbol,time,bid,ask\n", "\xff"])
def test_a_file_of_another_kind_is_refused_at_once(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ScenarioError):
        read_ticks(path, SYMBOLS, lambda _: None)


def test_a_missing_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="No such file"):
        read_ticks(tmp_path / "none.csv", SYMBOLS, lambda _: None)
