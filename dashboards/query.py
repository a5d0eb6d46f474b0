"""PromQL out of the metrics of the catalogue: a name or a label it does not know cannot be asked.

Every series is narrowed to the chosen jobs and instances, and every rate is over Grafana's
`$__rate_interval`, which is long enough for the scrape interval at any zoom. Only what is compared
with an alert that counts within a window is counted within that very window.
"""

from dataclasses import dataclass

from telemetry.catalogue import CACHE_REQUESTS, Kind, Metric

RATE = "$__rate_interval"
RANGE = "$__range"
_SCOPE = 'job=~"$job", instance=~"$instance"'


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and what its lines are called: `{{label}}` is the value of a label."""

    expression: str
    legend: str


def series(metric: Metric, **labels: str) -> str:
    """Select a counter or a gauge; `name_re` matches a label by regular expression.

    Raises:
        ValueError: the metric is a histogram, or has no such label or value.
    """
    if metric.kind is Kind.HISTOGRAM:
        raise ValueError(f"{metric.name} is a histogram: take its buckets, sum or count")
    return _select(metric, "", labels)


def buckets(histogram: Metric, le: float | None = None, **labels: str) -> str:
    """Select the buckets of a histogram, or only those up to `le`, which must be an edge."""
    suffix = _matcher(histogram, le)
    return _select(histogram, "_bucket", labels, suffix)


def count(histogram: Metric, **labels: str) -> str:
    """Select how many values a histogram took: its last bucket where it has negative edges."""
    if min(histogram.buckets) < 0:
        return _select(histogram, "_bucket", labels, ', le="+Inf"')
    return _select(histogram, "_count", labels)


def total(histogram: Metric, **labels: str) -> str:
    """Select the sum of a histogram's values.

    Raises:
        ValueError: it has none, for its edges are negative.
    """
    if min(histogram.buckets) < 0:
        raise ValueError(f"{histogram.name} has negative edges and so no sum")
    return _select(histogram, "_sum", labels)


def rate(selected: str, *by: str) -> str:
    """Return what is selected, per second, summed but for the labels `by`."""
    return _sum(f"rate({selected}[{RATE}])", by)


def increase(selected: str, *by: str, window: str = RANGE) -> str:
    """Return by how much it grew within a window, summed but for the labels `by`."""
    return _sum(f"increase({selected}[{window}])", by)


def quantile(share: float, histogram: Metric, *by: str, **labels: str) -> str:
    """Return a histogram's quantile, for each value of the labels `by`."""
    grouped = ", ".join(("le", *by))
    return (
        f"histogram_quantile({share:g}, sum by ({grouped}) "
        f"(rate({buckets(histogram, None, **labels)}[{RATE}])))"
    )


def quantiles(histogram: Metric, **labels: str) -> tuple[Query, ...]:
    """Return the quantiles that are drawn of a latency."""
    shares = ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
    return tuple(Query(quantile(share, histogram, **labels), name) for share, name in shares)


def age(timestamp: Metric, **labels: str) -> str:
    """Return how old a Unix time was when it was scraped, however long ago that is."""
    selected = series(timestamp, **labels)
    return f"(timestamp({selected}) - {selected})"


def share_over(histogram: Metric, limit: float, *by: str, **labels: str) -> str:
    """Return the share of values greater than an edge: counted, never interpolated."""
    within = rate(buckets(histogram, limit, **labels), *by)
    return f"1 - {within} / {rate(count(histogram, **labels), *by)}"


def share_over_within(window: str, histogram: Metric, limit: float) -> str:
    """Return the share of a window's values that are greater than an edge."""
    within = increase(buckets(histogram, limit), window=window)
    return f"1 - {within} / {increase(count(histogram), window=window)}"


def miss_rate(*by: str, **labels: str) -> str:
    """Return the share of entries asked of the cache that it did not have; errors are no misses."""
    missed = rate(series(CACHE_REQUESTS, result="miss", **labels), *by)
    answered = rate(series(CACHE_REQUESTS, result_re="hit|miss", **labels), *by)
    return f"{missed} / {answered}"


def mean(histogram: Metric, *by: str, **labels: str) -> str:
    """Return the mean value."""
    return f"{rate(total(histogram, **labels), *by)} / {rate(count(histogram, **labels), *by)}"


def _sum(expression: str, by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def _matcher(histogram: Metric, le: float | None) -> str:
    if le is None:
        return ""
    if le not in histogram.buckets:
        raise ValueError(f"{le} is no edge of {histogram.name}: {histogram.buckets}")
    return f', le="{float(le)}"'


def _select(metric: Metric, part: str, labels: dict[str, str], suffix: str = "") -> str:
    known = {label.name: label.values for label in metric.labels}
    matchers = ""
    for asked, value in labels.items():
        name = asked.removesuffix("_re").removesuffix("_not")
        operator = "=~" if asked.endswith("_re") else "!=" if asked.endswith("_not") else "="
        if name not in known:
            raise ValueError(f"{metric.name} has no label {name}, only {', '.join(known)}")
        values = known[name]
        for each in str(value).split("|") if operator == "=~" else (str(value),):
            if values is not None and each not in values:
                raise ValueError(f"{metric.name}: {name} is never {each}, only {values}")
        matchers += f', {name}{operator}"{value}"'
    return f"{metric.name}{part}{{{_SCOPE}{matchers}{suffix}}}"
