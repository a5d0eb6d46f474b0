"""The options of a load, and how they refuse."""

import argparse

import pytest

from service.load.options import add_options, plan_of


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(arguments)


def test_without_any_the_demo_accounts_trade_a_little() -> None:
    plan = plan_of(parse())
    assert (plan.accounts[0], plan.accounts[-1], plan.sockets) == (1, 22, 22)
    assert (plan.ticks_per_s, plan.commands_per_s, plan.burst, plan.seconds) == (1000, 20, 20, 60)


def test_accounts_are_a_range_or_one() -> None:
    assert list(plan_of(parse("--accounts", "5-7")).accounts) == [5, 6, 7]
    assert list(plan_of(parse("--accounts", "9")).accounts) == [9]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--ticks", "0"),
        ("--ticks", "nan"),
        ("--ticks", "many"),
        ("--commands", "-1"),
        ("--sockets", "-1"),
        ("--sockets", "1000000"),
        ("--accounts", "0-5"),
        ("--accounts", "7-5"),
        ("--accounts", "a-b"),
        ("--burst", "0"),
        ("--seconds", "0"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(SystemExit):
        parse(*arguments)


def test_who_trades_listens() -> None:
    with pytest.raises(ValueError, match="at least one socket"):
        plan_of(parse("--sockets", "0"))
    assert plan_of(parse("--sockets", "0", "--commands", "0")).sockets == 0
