"""The options of `tapewatch load`."""

import argparse
from collections.abc import Sequence

from service.api.auth import MAX_ACCOUNT_ID
from service.load.run import Plan

DEMO_ACCOUNTS = range(1, 23)
MAX_ACCOUNTS = 100_000
MAX_PER_S = 1_000_000.0
MAX_SOCKETS = 50_000
MAX_SECONDS = 43_200.0
MAX_BURST = 1_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe a load and add its options."""
    parser.description = (
        "Put ticks, traders and listeners on the service that runs with these settings, and "
        "measure how it bears them. It trades. The service must take its quotes from here: start "
        "it with TAPEWATCH_FEED=websocket and TAPEWATCH_FEED_URL, and give this the same."
    )
    parser.add_argument(
        "--ticks", type=_rate, default=1_000.0, help="a second; default: %(default)g"
    )
    parser.add_argument(
        "--commands", type=_rate_or_none, default=20.0, help="a second; default: %(default)g"
    )
    parser.add_argument("--sockets", type=_sockets, default=22, help="default: %(default)s")
    parser.add_argument(
        "--accounts",
        type=_accounts,
        default=DEMO_ACCOUNTS,
        metavar="FIRST-LAST",
        help="who trades and listens; default: 1-22",
    )
    parser.add_argument(
        "--burst",
        type=_burst,
        default=20,
        help="orders that one tick fires, at most; default: %(default)s",
    )
    parser.add_argument("--seconds", type=_seconds, default=60.0, help="default: %(default)g")
    parser.add_argument(
        "--json", action="store_true", help="print figures as JSON, a line each interval"
    )


def plan_of(options: argparse.Namespace) -> Plan:
    """Return the plan that the options make.

    Raises:
        ValueError: traders without a socket to listen on.
    """
    if options.commands and not options.sockets:
        raise ValueError("who trades listens: use at least one socket, or --commands 0")
    return Plan(
        options.seconds,
        options.ticks,
        options.commands,
        options.sockets,
        options.accounts,
        options.burst,
    )


def _rate(text: str) -> float:
    return _number(text, 0.0, MAX_PER_S, is_open=True)


def _rate_or_none(text: str) -> float:
    return _number(text, 0.0, MAX_PER_S)


def _seconds(text: str) -> float:
    return _number(text, 0.0, MAX_SECONDS, is_open=True)


def _number(text: str, low: float, high: float, *, is_open: bool = False) -> float:
    if not low <= float(text) <= high or (is_open and float(text) == low):
        raise argparse.ArgumentTypeError(f"a number from {low:g} to {high:g}")
    return float(text)


def _sockets(text: str) -> int:
    return _whole(text, 0, MAX_SOCKETS)


def _burst(text: str) -> int:
    return _whole(text, 1, MAX_BURST)


def _whole(text: str, low: int, high: int) -> int:
    if not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"a whole number from {low} to {high}")
    return int(text)


def _accounts(text: str) -> Sequence[int]:
    first, dash, last = text.partition("-")
    found = range(int(first), int(last if dash else first) + 1)
    if not 1 <= len(found) <= MAX_ACCOUNTS or found[0] < 1 or found[-1] > MAX_ACCOUNT_ID:
        raise argparse.ArgumentTypeError(
            f"account ids such as 1-500 or 17, at most {MAX_ACCOUNTS:,} of them"
        )
    return found
