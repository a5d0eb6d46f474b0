"""The series the dashboards draw that the service does not export: those of Prometheus itself,
of Alertmanager, and what `alerts/rules/recording.yml` records."""

from telemetry.catalogue import Kind, Label, Metric

UP = Metric("up", Kind.GAUGE, "1 if Prometheus could scrape the target, else 0.")
SCRAPE_DURATION = Metric(
    "scrape_duration_seconds", Kind.GAUGE, "How long Prometheus took to scrape.", "seconds"
)
ALERTS = Metric(
    "ALERTS",
    Kind.GAUGE,
    "1 for each alert that is pending or firing.",
    labels=(Label("alertname"), Label("alertstate"), Label("severity")),
)
NOTIFICATIONS_FAILED = Metric(
    "alertmanager_notifications_failed_total",
    Kind.COUNTER,
    "Notifications Alertmanager could not deliver.",
    "notifications",
    (Label("integration"),),
)
NOTIFICATIONS_DROPPED = Metric(
    "prometheus_notifications_dropped_total",
    Kind.COUNTER,
    "Alerts Prometheus could not hand to Alertmanager.",
    "alerts",
)
RULE_FAILURES = Metric(
    "prometheus_rule_evaluation_failures_total",
    Kind.COUNTER,
    "Evaluations of rules that failed.",
    "evaluations",
    (Label("rule_group"),),
)
BURN_RATES = {
    window: Metric(
        f"instance:tapewatch_trigger_budget:burnrate{window}",
        Kind.GAUGE,
        f"How many times too fast late commits used the error budget up over {window}.",
    )
    for window in ("5m", "30m", "1h", "6h", "3d")
}
METRICS = (
    *(UP, SCRAPE_DURATION, ALERTS),
    *(NOTIFICATIONS_FAILED, NOTIFICATIONS_DROPPED, RULE_FAILURES),
    *BURN_RATES.values(),
)
