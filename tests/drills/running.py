"""A drill as it is run: in a universe of its own, step by step, each step judged."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alerts.monitor.notification import Alert
from tests.drills.drill import DETECT_SLACK_S, TELL_SLACK_S, Drill, Outcome
from tests.drills.rules import alert_rules, receivers
from tests.drills.sightings import Sighting
from tests.drills.texts import faults_of
from tests.drills.universe import Universe, universe

WARM_TIMEOUT_S = 330.0  # longer than any window looks back on a moment of weakness
POLL_S = 0.2
LOG_LINES = 400


async def run_drill(drill: Drill, folder: Path, seed: int, *, until_told: bool = False) -> Outcome:
    """Run a drill in a universe of its own; whatever fails is in the outcome.

    `until_told`: only until people are told; not until they are told that it is over.
    """
    outcome = Outcome(drill, alert_rules()[drill.alert])
    try:
        async with universe(
            folder,
            seed,
            roles=drill.roles,
            groups=drill.groups,
            is_traced=drill.is_traced,
            settings=drill.settings,
        ) as everything:
            try:
                await _drill(drill, everything, outcome, until_told=until_told)
            finally:
                fired = [f"fired: {each.labels}" for each in everything.sightings.seen]
                logs = [f"{each.name}\n{_last_lines(each.log)}" for each in everything.instances]
                outcome.log = "\n".join([*fired, *logs])
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

    found = await _first(over, outcome.resolve_ceiling_s + TELL_SLACK_S)
    if found is None:
        outcome.failures.append(
            f"not resolved within {outcome.resolve_ceiling_s + TELL_SLACK_S:.0f} s"
        )
        return
    outcome.resolved_at = found[0]
    _limit(outcome, "resolved", outcome.resolve_s, outcome.resolve_ceiling_s)


def _last_lines(log: str) -> str:
    return "\n".join(log.splitlines()[-LOG_LINES:])


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


async def _first(look: Callable[[], Any], timeout_s: float) -> Any:
    """Return the first thing a look finds, None for nothing in time."""
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None and time.monotonic() < deadline:  # noqa: ASYNC110 - polls others
        await asyncio.sleep(POLL_S)
    return found
