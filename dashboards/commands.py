"""Commands and requests of traders and machines, and who is not let in."""

from dashboards.board import Row
from dashboards.charts import trend
from dashboards.panel import limit_of
from dashboards.query import Query, count, increase, quantile, quantiles, rate, series
from telemetry import catalogue

_OURS = "UNAVAILABLE|WITHDRAWN|ERROR"
_STATUS = "http_response_status_code"
_NOT_BELIEVED = rate(count(catalogue.HTTP_REQUEST, http_response_status_code="401"), "instance")
_NO_ROOM = rate(
    count(catalogue.HTTP_REQUEST, http_route="unmatched", http_response_status_code_re="429|503"),
    "instance",
)
_ANSWERED = rate(count(catalogue.HTTP_REQUEST), "instance")

COMMANDS = Row(
    "Commands of traders and machines: rate, errors, duration",
    (
        trend(
            "Commands",
            "Commands answered per second, by kind. A sudden fall while clients are connected is "
            "bad: look at the errors beside it and at the load balancer.",
            "reqps",
            Query(rate(series(catalogue.COMMAND), "command"), "{{command}}"),
            stacked=True,
        ),
        trend(
            "Errors that are ours",
            "Commands per second that failed for no fault of the client: UNAVAILABLE (PostgreSQL "
            "away or no leader), WITHDRAWN (decided, then refused by the database), ERROR "
            "(a bug: search the log for its trace id).",
            "reqps",
            Query(rate(series(catalogue.COMMAND, code_re=_OURS), "code"), "{{code}}"),
        ),
        trend(
            "Duration of commands",
            "From a command's arrival to its answer, commit included, 99th percentile by kind. "
            "Bad: compare with the commit on Orders and triggers; the dots are traces.",
            "s",
            Query(quantile(0.99, catalogue.COMMAND_S, "command"), "{{command}}"),
            latency=True,
        ),
        trend(
            "HTTP requests",
            "Requests per second, by status. A sudden fall while clients are connected is bad: "
            "look at the load balancer. Many of one 4xx: a client release gone wrong.",
            "reqps",
            Query(
                rate(count(catalogue.HTTP_REQUEST), _STATUS),
                "{{http_response_status_code}}",
            ),
            stacked=True,
        ),
        trend(
            "HTTP errors",
            "Requests per second that ended with 5xx, by route and status. 503 while PostgreSQL is "
            "away is meant; 500 is a bug: search the log for the trace id of its answer.",
            "reqps",
            Query(
                rate(
                    count(catalogue.HTTP_REQUEST, http_response_status_code_re="5.."),
                    "http_route",
                    _STATUS,
                )
                + " > 0",
                "{{http_response_status_code}} {{http_route}}",
            ),
            empty="No request ended with 5xx",
        ),
        trend(
            "Duration of HTTP requests",
            "How long requests take. Bad: follow a dot to its trace, it shows whether the time "
            "went into the database, Redis or a long answer.",
            "s",
            *quantiles(catalogue.HTTP_REQUEST),
            latency=True,
            empty="No request was sent",
        ),
        trend(
            "Clients turned away",
            "Share of answers that let nobody in: the token is not believed, or there is no room "
            "for another connection. Nearly all of one kind: look at the signing secrets, or for "
            "who takes the room.",
            "percentunit",
            Query(f"{_NOT_BELIEVED} / {_ANSWERED}", "token, {{instance}}"),
            Query(f"{_NO_ROOM} / {_ANSWERED}", "no room, {{instance}}"),
            limit=limit_of("TapewatchClientsTurnedAway"),
            width=12,
            empty="Nobody was turned away",
        ),
        trend(
            "Requests that failed unexpectedly",
            "Requests in 5 minutes that were answered 500, by route. Any is a bug, or a store that "
            "is not as it should be: its traceback is in the log.",
            "short",
            Query(
                increase(
                    count(catalogue.HTTP_REQUEST, http_response_status_code="500"),
                    "http_route",
                    window="5m",
                )
                + " > 0",
                "{{http_route}}",
            ),
            limit=limit_of("TapewatchRequestsFailing"),
            width=12,
            empty="No request failed",
        ),
        trend(
            "HTTP requests by route",
            "Requests per second, by route. One far above the usual: find who asks in its traces.",
            "reqps",
            Query(rate(count(catalogue.HTTP_REQUEST), "http_route"), "{{http_route}}"),
            stacked=True,
            many=True,
            width=12,
        ),
        trend(
            "Duration of HTTP requests by route",
            "99th percentile by route. One line above the rest: what it reads grew, or misses the "
            "cache; all lines: the event loop or PostgreSQL.",
            "s",
            Query(quantile(0.99, catalogue.HTTP_REQUEST, "http_route"), "{{http_route}}"),
            latency=True,
            many=True,
            width=12,
            empty="No request was sent",
        ),
    ),
)
