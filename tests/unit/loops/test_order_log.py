"""Deals in the log: one line a commit, whatever its size, and few lines a second."""

from collections.abc import Iterator
from io import StringIO

import pytest
from loguru import logger

from service.domain.decision import Decision
from service.loops import order_log
from service.loops.order_log import LINES_PER_S, NAMED, OrderLog
from service.storage.queue import Written
from telemetry.log_line import console_text
from telemetry.logs import Area, Logs
from tests.unit.storage.decisions import Clerk


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{level} {message}")
    yield lines
    logger.remove(sink)


def written(*decisions: Decision) -> list[Written]:
    return [Written(decision, 0, "") for decision in decisions]


def test_the_deals_of_a_commit_are_named(log: list[str]) -> None:
    clerk = Clerk()
    OrderLog().written(written(clerk.place(1), clerk.open(2, 7), clerk.close(3)))
    assert log == [
        "DEBUG committed OPENED order 2 of account 7 (BUY_LIMIT), "
        "CLOSED order 3 of account 1 (TAKE_PROFIT)\n"
    ]


def test_of_many_deals_a_few_are_named(log: list[str]) -> None:
    clerk = Clerk()
    OrderLog().written(written(*(clerk.open(number) for number in range(100))))
    assert len(log) == 1
    assert log[0].count("OPENED") == NAMED
    assert log[0].endswith(" and 95 more\n")


def test_a_commit_without_a_deal_is_not_logged(log: list[str]) -> None:
    OrderLog().written(written(Clerk().place(1)))
    assert log == []


def test_however_many_commits_there_are_few_lines_a_second(log: list[str]) -> None:
    clerk, now = Clerk(), 100.0
    deals = OrderLog(lambda: now)
    for number in range(200):
        deals.written(written(clerk.open(2 * number), clerk.open(2 * number + 1)))
    assert len(log) == LINES_PER_S
    now = 101.0
    deals.written(written(clerk.open(1_000)))
    assert log[LINES_PER_S:] == [
        "DEBUG committed OPENED order 1000 of account 1 (BUY_LIMIT), "
        f"after {2 * (200 - LINES_PER_S)} deals that were not told\n"
    ]


def test_where_debug_is_off_nothing_is_made_into_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise AssertionError

    monkeypatch.setattr(order_log, "_text", fail)
    with Logs(StringIO(), {}, Area("service", "INFO"), console_text):
        OrderLog().written(written(Clerk().open(1)))
