"""A model of a large broker from the figures of a run: what it takes, and what gives way first.

`Load` is what is to be served. What one process or server takes of it is calculated from costs that
were measured, and held against what it has, of which `BUSY` may be taken: the rest is for what
comes all at once. What can be divided is divided until it fits; the fullest of what cannot be is
the first bottleneck. Costs are taken to be in proportion, which no run on one machine can show.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from tests.bench.engines import NUMBERS, QUIET, engines
from tests.bench.engines_deployment import ENGINES, FEED, GATEWAY, POSTGRESQL, REDIS
from tests.bench.figures import significant
from tests.bench.results import Results

NOT_MEASURED = "not measured"
TABLE, BOTTLENECK, TICKS = "<!-- table -->", "<!-- bottleneck -->", "<!-- ticks -->"
BUSY = 0.5
MOST_ENGINES = max(NUMBERS)
QUIET_TICKS_PER_S = 1_000
_US = 1e-6


class Load(NamedTuple):
    """What is to be served.

    Attributes:
        moving: share of the sockets whose account has positions in what moves.
        database_cores: of PostgreSQL's machine.
    """

    accounts: int = 1_000_000
    sockets: int = 100_000
    ticks_per_s: int = 5_000
    commands_per_s: int = 3_000
    price_messages_per_s: int = 10
    moving: float = 0.1
    portfolio_cycle_s: int = 60
    database_cores: int = 16


class Need(NamedTuple):
    """What the load takes of one kind of thing: of so many, each is busy for a `share`.

    `is_alone`: it cannot be divided.
    """

    what: str
    takes: str
    number: int
    share: float
    is_alone: bool


class Missing(Exception):
    """A figure that was not measured."""


class Model:
    """The needs of a load by the figures of a run; all methods raise `Missing`."""

    def __init__(self, results: Results, load: Load) -> None:
        self._results = results
        self._load = load

    def needs(self) -> list[Need]:
        """Return what is needed of each."""
        gateways, traders = self._gateways(), self._engines()
        feed = self._ticking(FEED)
        ticks = self.tick_redis(self._load.ticks_per_s, gateways.number + traders.number)
        readers = f"{gateways.number + traders.number} readers"
        return [
            gateways,
            traders,
            Need("feed", f"{_cores(feed)} for ticks", 1, feed, True),
            Need("Redis of the ticks", f"{_cores(ticks)} for {readers}", 1, ticks, True),
            self._redis(),
            self._database(),
        ]

    def most_readers(self) -> int:
        """Return to how many readers one Redis hands the ticks of the load on."""
        none, hundred = (self.tick_redis(self._load.ticks_per_s, count) for count in (0, 100))
        return math.floor((BUSY - none) / (hundred - none) * 100)

    def tick_redis(self, ticks_per_s: float, readers: int) -> float:
        """Return the cores that ticks take of Redis; the run had `MOST_ENGINES` and a gateway."""
        more_readers = readers - MOST_ENGINES - 1
        beyond = ticks_per_s - QUIET_TICKS_PER_S
        quiet = self._quiet(REDIS) + more_readers * self._extra(QUIET)
        tick = self._cost("tick", REDIS) + more_readers * self._extra("a tick") * _US
        return quiet + beyond * tick

    def _gateways(self) -> Need:
        load = self._load
        price = self._figure("fanout", "gateway: server CPU a message") * _US
        # Every second message of these is a portfolio.
        both = 2 * self._figure("fanout", "gateway with portfolios: server CPU a message") * _US
        idle = self._figure("doors", "an idle socket takes of the service") * _US
        told = load.price_messages_per_s * (price + load.moving * (both - price))
        divided = load.sockets * (told + idle)
        divided += load.commands_per_s * self._cost("command", GATEWAY)
        return _divided("gateways", "streams and commands", divided, self._ticking(GATEWAY))

    def _engines(self) -> Need:
        load = self._load
        cycle_ms = self._figure("scales", "portfolio cycle, 10,000 accounts: product: CPU")
        valued = cycle_ms / 1e3 / 10_000 * load.accounts / load.portfolio_cycle_s
        divided = load.commands_per_s * self._cost("command", ENGINES) + valued
        each = self._ticking(ENGINES) / MOST_ENGINES
        return _divided("engines", "commands and portfolios", divided, each)

    def _redis(self) -> Need:
        taken = self._load.commands_per_s * self._cost("command", REDIS)
        return _divided("masters of Redis for the rest", "commands, events, caches", taken, 0.0)

    def _database(self) -> Need:
        cores = self._load.database_cores
        taken = self._load.commands_per_s * self._cost("command", POSTGRESQL)
        takes = f"{_cores(taken)} of {cores} for commands"
        return Need("PostgreSQL", takes, 1, taken / cores, True)

    def _ticking(self, part: str) -> float:
        """Return the cores that the ticks take of a part, with what it takes to be there."""
        beyond = self._load.ticks_per_s - QUIET_TICKS_PER_S
        return self._quiet(part) + beyond * self._cost("tick", part)

    def _quiet(self, part: str) -> float:
        return self._figure("engines", f"{engines(MOST_ENGINES)}: {QUIET}, {part}, CPU")

    def _cost(self, what: str, part: str) -> float:
        """Return the CPU time of a tick or a command, s."""
        name = f"{engines(MOST_ENGINES)}: a {what}, {part}, CPU"
        return max(self._figure("engines", name), 0.0) * _US

    def _extra(self, what: str) -> float:
        return max(self._figure("engines", f"an extra engine adds to {what}: {REDIS}, CPU"), 0.0)

    def _figure(self, part: str, name: str) -> float:
        figure = self._results.figure(part, name)
        if figure is None:
            raise Missing
        return figure.value


def _divided(what: str, of_what: str, divided: float, each: float) -> Need:
    """Return how many share what can be divided; each takes `each` for ticks."""
    takes = f"{_cores(divided)} for {of_what}; {_cores(each)} each for ticks"
    if each >= BUSY:
        return Need(what, takes, 1, each + divided, True)
    number = max(1, math.ceil(divided / (BUSY - each)))
    return Need(
        what, takes if each else takes.partition(";")[0], number, divided / number + each, False
    )


def _cores(value: float) -> str:
    return f"{significant(value, 2)} cores"


def page(template: str, results: Results, filled: Callable[[str], str]) -> str:
    """Return a page with what was measured, and what the model makes of it, in place."""
    text, model = filled(template), Model(results, Load())
    try:
        needs = model.needs()
        readers = model.most_readers()
    except Missing:
        return _put(text, f"| {NOT_MEASURED} | | | |", NOT_MEASURED, NOT_MEASURED)
    first = max((need for need in needs if need.is_alone), key=lambda need: need.share)
    bottleneck = (
        f"**{first.what}**, busy for {first.share:.0%} of what it has; at {BUSY:.0%} it bears "
        f"{significant(BUSY / first.share, 2)} times this load"
    )
    ticks = f"{readers:,} readers of {Load().ticks_per_s:,} ticks a second"
    return _put(text, "\n".join(map(_row, needs)), bottleneck, ticks)


def _put(text: str, rows: str, bottleneck: str, ticks: str) -> str:
    table = f"| what | takes | so many | each busy |\n|---|---|--:|--:|\n{rows}"
    return text.replace(TABLE, table).replace(BOTTLENECK, bottleneck).replace(TICKS, ticks)


def _row(need: Need) -> str:
    name = f"{need.what} (only one)" if need.is_alone else need.what
    return f"| {name} | {need.takes} | {need.number} | {need.share:.0%} |"
