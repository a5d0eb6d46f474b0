"""Every alert has a drill or a reason, and those of R11.2 are seen to fire and to be told.

That they are over when the fault is takes minutes more, and is for `make drill`.
"""

import asyncio
import re
from pathlib import Path

import pytest

from tests.drills import page
from tests.drills.catalogue import DRILLS, NOT_DRILLED
from tests.drills.drill import Outcome
from tests.drills.rules import alert_rules, seconds
from tests.drills.running import run_drill

R11_2 = (
    "TapewatchWebSocketSlow",
    "TapewatchDatabaseSlow",
    "TapewatchCacheMissRateHigh",
    "TapewatchLoopFailing",
)


@pytest.mark.timeout(900)
async def test_the_alerts_of_r11_2_fire_and_are_told_one_notification_each(tmp_path: Path) -> None:
    drills = sorted(
        (drill for drill in DRILLS if drill.alert in R11_2), key=lambda drill: -drill.warm_s
    )
    outcomes = await asyncio.gather(
        *(
            run_drill(drill, tmp_path / drill.alert, seed, until_told=True)
            for seed, drill in enumerate(drills)
        )
    )
    assert {outcome.drill.alert: outcome.failures for outcome in outcomes} == {
        alert: [] for alert in R11_2
    }


def test_every_alert_has_a_drill_or_a_reason_why_not() -> None:
    drilled = [drill.alert for drill in DRILLS]
    assert sorted([*drilled, *NOT_DRILLED]) == sorted(alert_rules())


def test_the_page_tells_of_every_alert_and_of_no_failure() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| (Tapewatch\w+) \|", text, re.MULTILINE)) == sorted(alert_rules())
    assert "**failed**" not in text


@pytest.mark.parametrize(
    ("text", "expected"), [("0s", 0), ("500ms", 0.5), ("1m30s", 90), ("1h", 3600), ("3d", 259_200)]
)
def test_durations_of_prometheus_are_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_a_drill_replaces_its_own_row_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "DRILLS.md"
    monkeypatch.setattr(page, "PAGE", path)
    first, second = (Outcome(each, alert_rules()[each.alert]) for each in DRILLS[:2])
    first.failures.append("planted")
    for outcome in (first, second):
        _write(outcome)
    rows = path.read_text(encoding="utf-8")
    assert "**failed**: planted" in rows
    first.failures.clear()
    _write(first)
    rows = path.read_text(encoding="utf-8")
    assert "planted" not in rows
    assert [rows.count(f"| {each.alert} |") for each in DRILLS[:3]] == [1, 1, 0]


def _write(outcome: Outcome) -> None:
    page.write_row(outcome, NOT_DRILLED, interval_s=5, group_interval_s=10, programs="Prometheus")
