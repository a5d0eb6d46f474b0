"""alerts/DRILLS.md: what every alert was seen to do. A run replaces the rows of what it ran."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.machine import describe_machine
from tests.drills.drill import Outcome
from tests.drills.rules import alert_rules

PAGE = Path(__file__).resolve().parents[2] / "alerts" / "DRILLS.md"
_ROW = re.compile(r"^\| (Tapewatch\w+) \|")
_HEAD = """\
# Drills

What every alert was seen to do, written by `make drill` (`tests/drills/`). A drill starts the real
service (one process, or a gateway, a feed and two engines with four shards where the alert is about
what goes between processes) with PostgreSQL, Valkey, an upstream feed and traders, watched by
Prometheus and Alertmanager with the rules and routes of this folder as they are. It lets all that
be healthy, when nothing but the Watchdog may fire; harms it from outside; waits until the alert
fires and the webhook is told, as the right receiver, with texts and links that lead somewhere; ends
the fault, and waits to be told that it is over. Scrapes and evaluations come every {interval:g} s.
Of Alertmanager only the addresses of the receivers, the group interval ({group_interval:g} s) and
the muting on weekends, which is lifted, are not those shipped.

Times are seconds, each with its ceiling. **True**: from the fault until the rule's expression is.
**Fires**: from there, at most its `for` and 30 s. **Told**: from there, at most the group's wait
and 20 s. **Over**: from the end of the fault until the notification that it is resolved, at most
the window that the rule looks back on, its `keep_firing_for` and 45 s. **Beside it** is what else
fired; what is in brackets was silenced, since the alert of its cause told of it already.

{machine}

{soak}

| Alert | Fault | true | fires | told | over | Beside it | Seen |
|---|---|---|---|---|---|---|---|
"""
_NO_SOAK = "Left alone: not seen yet."
_SOAK = re.compile(r"^Left alone.*$", re.MULTILINE)
_TAIL = """
## Not drilled

| Alert | Why |
|---|---|
"""


def row(outcome: Outcome, seen: str) -> str:
    """Return a drill's row."""
    drill = outcome.drill
    if outcome.failures:
        return f"| {drill.alert} | {drill.does} | **failed**: {'; '.join(outcome.failures)} |" + (
            f" | | | | {seen} |"
        )
    beside = [*sorted(outcome.also_told)]
    beside += [f"({alert})" for alert in sorted(outcome.also_fired - outcome.also_told)]
    cells = (
        drill.alert,
        drill.does,
        _time(outcome.true_s, drill.true_s),
        _time(outcome.detect_s, outcome.detect_ceiling_s),
        _time(outcome.tell_s, outcome.tell_ceiling_s),
        _time(outcome.resolve_s, outcome.resolve_ceiling_s),
        ", ".join(name.replace("Tapewatch", "") for name in beside) or "nothing",
        seen,
    )
    return f"| {' | '.join(cells)} |"


def _time(took_s: float | None, ceiling_s: float) -> str:
    return "?" if took_s is None else f"{max(0.0, took_s):.0f} of {ceiling_s:.0f}"


def write_row(
    outcome: Outcome,
    not_drilled: Mapping[str, str],
    *,
    interval_s: float,
    group_interval_s: float,
    programs: str,
) -> None:
    """Write an outcome's row into the page, and keep the others."""
    seen = datetime.now(UTC).strftime("%Y-%m-%d")
    rows = _rows() | {outcome.drill.alert: row(outcome, seen)}
    machine = describe_machine()
    head = _HEAD.format(
        interval=interval_s,
        group_interval=group_interval_s,
        machine=(
            f"The last run was on {machine.cpus} processors ({machine.processor}), "
            f"{machine.system}, with {programs}, PostgreSQL 18 and Valkey 9."
        ),
        soak=_soak(),
    )
    names = [name for name in sorted(alert_rules()) if name in rows and name not in not_drilled]
    tail = "".join(f"| {name} | {why} |\n" for name, why in sorted(not_drilled.items()))
    body = "".join(f"{rows[name]}\n" for name in names)
    PAGE.write_text(head + body + _TAIL + tail, encoding="utf-8")


def _rows() -> dict[str, str]:
    if not PAGE.exists():
        return {}
    drilled = PAGE.read_text(encoding="utf-8").partition(_TAIL.strip().splitlines()[0])[0]
    lines = drilled.splitlines()
    return {found[1]: line for line in lines if (found := _ROW.match(line)) is not None}


def write_soak(minutes: float, traders: int, looks: int, heartbeats: int) -> None:
    """Write into a page that is there what came of a soak of which nobody was told anything."""
    seen = datetime.now(UTC).strftime("%Y-%m-%d")
    line = (
        f"Left alone for {minutes:g} minutes with {traders} traders (`make drill ARGS='--healthy "
        f"{minutes:g}'`, seen {seen}), nothing but the Watchdog fired in {looks} looks at "
        f"Prometheus, and nothing but its {heartbeats} heartbeats was sent."
    )
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_SOAK.sub(lambda _: line, text, count=1), encoding="utf-8")


def _soak() -> str:
    if not PAGE.exists():
        return _NO_SOAK
    found = _SOAK.search(PAGE.read_text(encoding="utf-8"))
    return _NO_SOAK if found is None else found[0]
