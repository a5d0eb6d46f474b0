"""What an alert says to people, and where its links lead."""

from pathlib import Path

from alerts.monitor.notification import Alert
from tests.drills.rules import Rule

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "alerts" / "runbooks"
DASHBOARDS = ROOT / "dashboards" / "generated"
# Of the monitoring itself, whose job the dashboards do not know.
OF_NO_JOB = {"TapewatchNotificationsFailing", "TapewatchWatchdog"}


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
