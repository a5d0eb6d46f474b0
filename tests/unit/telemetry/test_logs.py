"""Logging, from loguru and the standard library to the lines that are written."""

import json
import logging
import warnings
from io import StringIO

import pytest
from loguru import logger

from telemetry.log_line import console_text, json_text
from telemetry.logs import Area, Logs
from telemetry.spans import Span, Tracing
from tests.unit.telemetry.test_spans import Box

HERE = __name__


def opened(out: StringIO, level: str = "INFO", **areas: str) -> Logs:
    """Open logs; this module's area is `orders` where a level is given for it."""
    own = {HERE: Area("orders", areas["orders"])} if areas else {}
    return Logs(out, own, Area("service", level), json_text)


def said(out: StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_says_what_where_and_when() -> None:
    with opened(out := StringIO()):
        logger.bind(loop="sweep").info("{} orders", 7)
    (line,) = said(out)
    assert str(line.pop("time")).endswith("+00:00")
    assert isinstance(line.pop("line"), int)
    assert line == {
        "level": "INFO",
        "area": "service",
        "message": "7 orders",
        "module": HERE,
        "function": "test_a_line_says_what_where_and_when",
        "extra": {"loop": "sweep"},
    }


def test_a_line_in_a_span_carries_its_ids_and_one_outside_none() -> None:
    tracing = Tracing(Box(), 1.0)
    with opened(out := StringIO()):
        with tracing.span("commit") as span:
            logger.info("inside")
        logger.info("outside")
        logger.bind(trace_id="ab" * 16, span_id="cd" * 8).info("of a span that is over")
    inside, outside, bound = said(out)
    assert isinstance(span, Span)
    assert (inside["trace_id"], inside["span_id"]) == (span.ids.trace, span.ids.span)
    assert "trace_id" not in outside
    assert (bound["trace_id"], bound["span_id"]) == ("ab" * 16, "cd" * 8)
    assert "extra" not in bound


def test_the_standard_library_is_taken_over_and_given_back() -> None:
    before = logging.getLogger().handlers[:]
    with opened(out := StringIO()):
        logging.getLogger("some.library").warning("%d sockets left", 3)
        logging.getLogger("some.library").debug("chatter")
        logging.getLogger("some.library").log(25, "between two levels")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    library, between, warned = said(out)
    assert (library["module"], library["message"]) == ("some.library", "3 sockets left")
    assert (library["area"], library["level"]) == ("service", "WARNING")
    assert between["level"] == "INFO"
    assert (warned["module"], "old" in str(warned["message"])) == ("py.warnings", True)
    assert logging.getLogger().handlers == before


def test_an_area_that_is_logged_at_debug_opens_no_other() -> None:
    with opened(out := StringIO(), orders="DEBUG"):
        logger.debug("ours")
        logging.getLogger("some.library").debug("theirs")
    assert [line["message"] for line in said(out)] == ["ours"]


def test_secrets_are_in_no_line_no_exception_and_no_traceback() -> None:
    with opened(out := StringIO()) as logs:
        logs.redaction.hide("open-sesame")
        try:
            _fail("postgresql://tape:hunter2@db/x", "open-sesame")
        except ValueError:
            logger.bind(key="open-sesame").exception("with open-sesame")
    (line,) = said(out)
    assert "ValueError: cannot reach postgresql://tape:***@db/x" in str(line["exception"])
    assert "_fail" in str(line["exception"])
    assert "hunter2" not in out.getvalue()
    assert "sesame" not in out.getvalue()


def _fail(address: str, secret: str) -> None:
    raise ValueError(f"cannot reach {address} with {secret}")


def test_errors_that_repeat_are_told_once_and_counted() -> None:
    with opened(out := StringIO()) as logs:
        for number in range(1_000):
            logger.error("order {} failed", number)
    assert [line["message"] for line in said(out)] == [
        "order 0 failed",
        "repeated 999 times in 0 s: order 999 failed",
    ]
    assert logs.count("ERROR", "service") == 1_000
    assert logs.dropped == 0


def test_errors_bound_to_a_trace_are_all_told() -> None:
    with opened(out := StringIO()):
        for number in range(5):
            logger.bind(trace_id=f"{number:032x}").warning("a slow query")
    assert [line["trace_id"] for line in said(out)] == [f"{n:032x}" for n in range(5)]


def test_records_are_counted_by_level_and_area() -> None:
    with opened(StringIO(), orders="WARNING") as logs:
        logger.info("not wanted")
        logger.warning("wanted")
        logger.log("SUCCESS", "not wanted either")
        logging.getLogger("some.library").info("of no area")
    counted = {
        (level, area): logs.count(level, area)
        for level in ("DEBUG", "INFO", "WARNING")
        for area in ("orders", "service")
        if logs.count(level, area)
    }
    assert counted == {("WARNING", "orders"): 1, ("INFO", "service"): 1}


@pytest.mark.parametrize("odd", ["one\ntwo", "\x1b[31mred", "\u2028", "back\rspace"])
def test_no_text_forges_a_line_on_the_console(odd: str) -> None:
    out = StringIO()
    with Logs(out, {}, Area("service", "INFO"), console_text):
        logger.info("symbol {} is unknown", odd)
    (line,) = out.getvalue().splitlines()
    assert " | INFO     | " in line
    assert ascii(odd)[1:-1] in line
