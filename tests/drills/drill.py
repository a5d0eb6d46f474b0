"""A drill: one alert, the fault that must fire it, and how soon everything must happen.

    healthy -> fault -> true -> firing -> told -> (the fault is ended) -> resolved

Each step has a ceiling. Nothing else may be told of the fault's cause than what the drill names,
and why it does.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alerts.monitor.notification import Alert
from tests.drills.rules import Rule, alert_rules, receivers
from tests.drills.sightings import Sighting
from tests.drills.universe import Universe, universe

DETECT_SLACK_S = 30.0
TELL_SLACK_S = 20.0
WARM_S = 45.0
WARM_TIMEOUT_S = 120.0
HOLD_S = 15.0
POLL_S = 0.2
ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "alerts" / "runbooks"
DASHBOARDS = ROOT / "dashboards" / "generated"

# Of the monitoring itself, whose job the dashboards do not know.
OF_NO_JOB = {"TapewatchNotificationsFailing", "TapewatchWatchdog"}

Fault = Callable[[Universe], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Drill:
    """What is done, and what must come of it.

    Attributes:
        alert: its name.
        fault: entered, it harms a universe; left, it heals it.
        does: what it does, for people.
        true_s: from the fault until the rule's expression is true, at most.
        resolve_s: from the end of the fault until it is told that the alert is over, at most.
        labels: what the alert must carry, besides its severity.
        warm_s: how long the universe is healthy before.
        hold_s: how long the fault lasts after the notification, so that others could fire.
        also: what else may be told, by why.
        processes, is_traced, settings: of the universe.
    """

    alert: str
    fault: Fault
    does: str
    true_s: float
    resolve_s: float
    labels: dict[str, str] = field(default_factory=dict)
    warm_s: float = WARM_S
    hold_s: float = HOLD_S
    also: dict[str, str] = field(default_factory=dict)
    processes: int = 1
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


async def run_drill(drill: Drill, folder: Path, seed: int, *, until_told: bool = False) -> Outcome:
    """Run a drill in a universe of its own; whatever fails is in the outcome.

    `until_told`: only until people are told; not until they are told that it is over.
    """
    outcome = Outcome(drill, alert_rules()[drill.alert])
    try:
        async with universe(
            folder,
            seed,
            processes=drill.processes,
            is_traced=drill.is_traced,
            settings=drill.settings,
        ) as everything:
            try:
                await _drill(drill, everything, outcome, until_told=until_told)
            finally:
                outcome.log = everything.service.log[-20_000:]
    except Exception as error:
        outcome.failures.append(f"{type(error).__name__}: {error}")
    return outcome


async def _drill(drill: Drill, on: Universe, outcome: Outcome, *, until_told: bool) -> None:
    if not await _warm(on, drill.warm_s):
        outcome.failures.append(f"not healthy before: {', '.join(sorted(on.sightings.now_firing))}")
        return
    outcome.fault_at = time.time()
    async with drill.fault(on):
        await _fire(drill, on, outcome)
        if not until_told:
            await asyncio.sleep(drill.hold_s)
        outcome.healed_at = time.time()
    if outcome.told_at is not None and not until_told:
        await _resolve(drill, on, outcome)
    outcome.also_fired = on.sightings.fired(outcome.fault_at) - {drill.alert}
    outcome.also_told = _told(on, outcome.fault_at) - {drill.alert}
    for alert in sorted(outcome.also_told - drill.also.keys()):
        outcome.failures.append(f"{alert} was told of too")


async def _warm(on: Universe, warm_s: float) -> bool:
    """Wait until nothing but the Watchdog fires, for so long; tell whether that came to be."""
    started = quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < warm_s or not on.sightings.watchdog_fires:
        if on.sightings.now_firing:
            quiet_since = time.monotonic()
        if time.monotonic() - started > warm_s + WARM_TIMEOUT_S:
            return False
        await asyncio.sleep(POLL_S)
    return not _told(on, 0.0)


async def _fire(drill: Drill, on: Universe, outcome: Outcome) -> None:
    """Wait until the alert fires and is told, and judge both."""

    def fires() -> Sighting | None:
        return on.sightings.first(drill.alert, outcome.fault_at, drill.labels)

    patience_s = drill.true_s + outcome.detect_ceiling_s
    outcome.sighting = sighting = await _first(fires, patience_s + DETECT_SLACK_S)
    if sighting is None:
        outcome.failures.append(f"did not fire within {patience_s + DETECT_SLACK_S:.0f} s")
        return
    _limit(outcome, "true", outcome.true_s, drill.true_s)
    _limit(outcome, "firing", outcome.detect_s, outcome.detect_ceiling_s)
    receiver = receivers()[outcome.rule.severity][0]

    def told() -> tuple[float, str, Alert] | None:
        return _find(on, drill, "firing", outcome.fault_at)

    found = await _first(told, outcome.tell_ceiling_s + TELL_SLACK_S)
    if found is None:
        outcome.failures.append("nobody was told")
        return
    outcome.told_at, told_to, alert = found
    _limit(outcome, "told", outcome.tell_s, outcome.tell_ceiling_s)
    if told_to != receiver:
        outcome.failures.append(f"told to {told_to}, not to {receiver}")
    outcome.failures += faults_of(alert, outcome.rule)


async def _resolve(drill: Drill, on: Universe, outcome: Outcome) -> None:
    def over() -> tuple[float, str, Alert] | None:
        return _find(on, drill, "resolved", outcome.healed_at)

    found = await _first(over, drill.resolve_s + TELL_SLACK_S)
    if found is None:
        outcome.failures.append(f"not resolved within {drill.resolve_s + TELL_SLACK_S:.0f} s")
        return
    outcome.resolved_at = found[0]
    _limit(outcome, "resolved", outcome.resolve_s, drill.resolve_s)


def _limit(outcome: Outcome, step: str, took_s: float | None, ceiling_s: float) -> None:
    if took_s is not None and took_s > ceiling_s:
        outcome.failures.append(f"{step} after {took_s:.0f} s, the ceiling is {ceiling_s:.0f} s")


def _find(on: Universe, drill: Drill, status: str, since: float) -> tuple[float, str, Alert] | None:
    for notification in list(on.webhook.notifications):
        if notification.arrived_at < since:
            continue
        for alert in notification.alerts:
            if (
                alert.name == drill.alert
                and alert.status == status
                and drill.labels.items() <= alert.labels.items()
            ):
                return notification.arrived_at, notification.receiver, alert
    return None


def _told(on: Universe, since: float) -> set[str]:
    """Return what people were told to fire since a time: all but the heartbeat."""
    return {
        alert.name
        for notification in list(on.webhook.notifications)
        if notification.arrived_at >= since and notification.receiver != "heartbeat"
        for alert in notification.alerts
        if alert.status == "firing"
    }


def faults_of(alert: Alert, rule: Rule) -> list[str]:
    """Return what is wrong with an alert as it was told: its labels, its texts, its links."""
    faults = []
    if alert.labels.get("severity") != rule.severity:
        faults.append(f"severity is {alert.labels.get('severity')}, not {rule.severity}")
    for name in ("grafana_url", "runbooks_url"):
        if name in alert.labels:
            faults.append(f"carries the label {name}")
    for name in ("summary", "description"):
        text = alert.annotations.get(name, "")
        if not text or "<no value>" in text or "{{" in text:
            faults.append(f"its {name} is {text!r}")
    runbook = alert.annotations.get("runbook_url", "")
    if not runbook.endswith(f"/{rule.alert}.md") or not (RUNBOOKS / f"{rule.alert}.md").exists():
        faults.append(f"there is no runbook at {runbook!r}")
    _, _, path = alert.annotations.get("dashboard_url", "").partition("/d/")
    dashboard = path.partition("?")[0]
    if not dashboard or not (DASHBOARDS / f"{dashboard}.json").exists():
        faults.append(f"there is no dashboard {dashboard!r}")
    if "var-job=" not in path and rule.alert not in OF_NO_JOB:
        faults.append("its dashboard is opened without its job")
    return faults


async def _first(look: Callable[[], Any], timeout_s: float) -> Any:
    """Return the first thing a look finds, None for nothing in time."""
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None and time.monotonic() < deadline:  # noqa: ASYNC110 - polls others
        await asyncio.sleep(POLL_S)
    return found
