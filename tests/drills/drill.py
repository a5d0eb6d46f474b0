"""A drill: one alert, the fault that must fire it, and how soon everything must happen.

    healthy -> fault -> true -> firing -> told -> (the fault is ended) -> resolved

Each step has a ceiling. Nothing else may be told of the fault's cause than what the drill names,
and why it does.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from tests.drills.book import FEW_GROUPS
from tests.drills.rules import Rule, receivers
from tests.drills.sightings import Sighting
from tests.drills.universe import Universe

DETECT_SLACK_S = 30.0
TELL_SLACK_S = 20.0
OVER_SLACK_S = 45.0  # the end itself, and the interval of the group
WARM_S = 45.0
HOLD_S = 15.0

Fault = Callable[[Universe], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Drill:
    """What is done, and what must come of it.

    Attributes:
        alert: its name.
        fault: entered, it harms a universe; left, it heals it.
        does: what it does, for people.
        true_s: from the fault until the rule's expression is true, at most.
        window_s: for how long the rule sees what is over.
        labels: what the alert must carry, besides its severity.
        warm_s: how long the universe is healthy before.
        hold_s: how long the fault lasts after the notification, so that others could fire.
        also: what else may be told, by why.
        roles, groups, is_traced, settings: of the universe.
    """

    alert: str
    fault: Fault
    does: str
    true_s: float
    window_s: float = 0.0
    labels: dict[str, str] = field(default_factory=dict)
    warm_s: float = WARM_S
    hold_s: float = HOLD_S
    also: dict[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = ("all",)
    groups: int = FEW_GROUPS
    is_traced: bool = False
    settings: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What came of a drill; Unix times, None: it did not happen."""

    drill: Drill
    rule: Rule
    fault_at: float = 0.0
    sighting: Sighting | None = None
    told_at: float | None = None
    healed_at: float = 0.0
    resolved_at: float | None = None
    also_fired: set[str] = field(default_factory=set)
    also_told: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    log: str = ""

    @property
    def true_s(self) -> float | None:
        return None if self.sighting is None else self.sighting.true_at - self.fault_at

    @property
    def detect_s(self) -> float | None:
        return None if self.sighting is None else self.sighting.firing_at - self.sighting.true_at

    @property
    def tell_s(self) -> float | None:
        if self.sighting is None or self.told_at is None:
            return None
        return max(0.0, self.told_at - self.sighting.firing_at)

    @property
    def resolve_s(self) -> float | None:
        return None if self.resolved_at is None else self.resolved_at - self.healed_at

    @property
    def detect_ceiling_s(self) -> float:
        return self.rule.for_s + DETECT_SLACK_S

    @property
    def tell_ceiling_s(self) -> float:
        return receivers()[self.rule.severity][1] + TELL_SLACK_S

    @property
    def resolve_ceiling_s(self) -> float:
        return self.drill.window_s + self.rule.keep_firing_for_s + OVER_SLACK_S
