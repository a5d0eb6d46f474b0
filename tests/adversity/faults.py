"""Faults of every process and connection, drawn from a seed, and done one over the other.

The plan is drawn before anything runs: the same seed, number and layout give the same faults at the
same distances. A fault of something that still suffers the last one waits for its end, so that all
that are planned are done. Whoever is killed or told to end is started again.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from random import Random
from typing import NamedTuple

from tests.adversity.member import CLIENTS, QUOTED

REDIS_NODES = 6
# A fault a second: many begin before the last is over.
SHORTEST_GAP_S, LONGEST_GAP_S = 0.2, 1.8
POSTGRES = "postgres"


class Kind(StrEnum):
    """What is done to a target."""

    KILL = "killed (SIGKILL), and started again"
    END = "told to end (SIGTERM), and started again"
    PAUSE = "stopped (SIGSTOP) for less than a lease"
    FREEZE = "stopped (SIGSTOP) past its lease, and woken"
    CUT = "connections cut, and none let in"
    DELAY = "connections delayed"
    DEAF = "replies lost, then cut"
    HOLD = "connections held still"
    RESTART = "restarted at once (SIGQUIT)"


# How often, against each other.
_OF_PROCESSES = {Kind.KILL: 10, Kind.END: 6, Kind.PAUSE: 8, Kind.FREEZE: 7}
_OF_LINKS = {Kind.CUT: 18, Kind.DELAY: 12, Kind.DEAF: 18, Kind.HOLD: 12}
_OF_NODES = {Kind.KILL: 4, Kind.PAUSE: 3}
_OF_POSTGRES = {Kind.RESTART: 2}
_ALL = (_OF_PROCESSES, _OF_LINKS, _OF_NODES, _OF_POSTGRES)
# Of the links, how often which: the stores decide, what is around them matters less.
_LINKS = {"postgres": 5, "redis": 3, "one redis": 5, "clients": 3, "upstream": 2}


class Fault(NamedTuple):
    """One fault: `after_s` seconds after the one before, for `lasts_s`.

    `target` is a process (`engine-1`), its connections to something (`engine-1>postgres`), a node
    of the cluster (`redis-3`) or `postgres`.
    """

    number: int
    after_s: float
    kind: Kind
    target: str
    lasts_s: float

    def __str__(self) -> str:
        what = f"{self.target}: {self.kind}, {self.lasts_s:.2f} s"
        return f"{self.number:4} +{self.after_s:.2f} s  {what}"


def draw_plan(seed: int, count: int, layout: Mapping[str, str], lease_s: float) -> Sequence[Fault]:
    """Return the faults of a seed."""
    random = Random(seed)
    plan = []
    for number in range(1, count + 1):
        family = random.choices(_ALL, [sum(each.values()) for each in _ALL])[0]
        kind = random.choices(list(family), list(family.values()))[0]
        if family is _OF_PROCESSES:
            target = random.choice(list(layout))
        elif family is _OF_LINKS:
            target = _link(random, layout)
        elif family is _OF_NODES:
            target = f"redis-{random.randint(1, REDIS_NODES)}"
        else:
            target = POSTGRES
        after_s = random.uniform(SHORTEST_GAP_S, LONGEST_GAP_S)
        lasts_s = _duration(random, kind, lease_s)
        plan.append(Fault(number, round(after_s, 3), kind, target, round(lasts_s, 3)))
    return plan


def _link(random: Random, layout: Mapping[str, str]) -> str:
    while True:
        name, role = random.choice(list(layout.items()))
        link = random.choices(list(_LINKS), list(_LINKS.values()))[0]
        if link == "one redis":
            link = f"redis-{random.randint(1, REDIS_NODES)}"
        if (link != "clients" or role in CLIENTS) and (link != "upstream" or role in QUOTED):
            return f"{name}>{link}"


def _duration(random: Random, kind: Kind, lease_s: float) -> float:
    match kind:
        case Kind.PAUSE:
            return random.uniform(0.1, 0.5 * lease_s)
        case Kind.FREEZE:
            return lease_s + random.uniform(0.5, 2.0)
        case Kind.KILL | Kind.END:
            return random.uniform(0.1, 2.0)
        case Kind.DEAF:
            return random.uniform(0.05, 1.0)
        case Kind.RESTART:
            return 0.0
        case _:
            return random.uniform(0.1, 2.5)
