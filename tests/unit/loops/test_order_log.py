"""Deals in the log: one line a commit, whatever its size."""

from collections.abc import Iterator

import pytest
from loguru import logger

from service.domain.decision import Decision
from service.loops.order_log import NAMED, log_deals
from service.storage.queue import Written
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
    log_deals(written(clerk.place(1), clerk.open(2, 7), clerk.close(3)))
    assert log == [
        "DEBUG committed OPENED order 2 of account 7 (BUY_LIMIT), "
        "CLOSED order 3 of account 1 (TAKE_PROFIT)\n"
    ]


def test_of_many_deals_a_few_are_named(log: list[str]) -> None:
    clerk = Clerk()
    log_deals(written(*(clerk.open(number) for number in range(100))))
    assert len(log) == 1
    assert log[0].count("OPENED") == NAMED
    assert log[0].endswith(" and 95 more\n")


def test_a_commit_without_a_deal_is_not_logged(log: list[str]) -> None:
    log_deals(written(Clerk().place(1)))
    assert log == []
