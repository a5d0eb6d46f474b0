"""An order's journey as one trace: what caused a decision, its commit, and who goes on with it.

The span of the cause (a request, a loop's run, a triggering tick) travels beside a decision in the
writer's queue. A commit is the child of one cause in its batch, of one that is sampled if there is
any; each other cause that is gets a child of the same times, linked to it. Who publishes an event
goes on with that child (`Span.followed_by`); who finds it in the outbox, with the cause.
"""

from collections.abc import Iterable, Sequence

from opentelemetry.trace import SpanKind

from service.storage.queue import Queued
from telemetry.limits import Limit
from telemetry.span_ids import SpanIds
from telemetry.spans import NO_SPAN, AnySpan, Span, Tracing

# Of the causes in a batch that are sampled; more of them only show the same commit again.
MAX_FOLLOWED = 32


def commit_span(tracing: Tracing, queued: Sequence[Queued]) -> AnySpan:
    """Return the span of the commit of a batch."""
    if not tracing.is_on:
        return NO_SPAN
    causes = _causes(queued)
    parent = next((each for each in causes if each.is_wanted), causes[0] if causes else None)
    span = tracing.begin("commit", limit=Limit.COMMIT, parent=parent)
    span.note("decisions", len(queued))
    span.note("causes", len(causes))
    return span


def follow_commit(tracing: Tracing, commit: AnySpan, queued: Sequence[Queued]) -> None:
    """Let every traced cause in a committed batch be followed by its commit."""
    if not isinstance(commit, Span):
        return
    followed = 0
    for cause in _causes(queued):
        if cause.is_wanted and followed < MAX_FOLLOWED:
            followed += 1
            cause.followed_by = commit.ids
            if cause is not commit.parent:
                copy = tracing.begin("commit", parent=cause, start_ns=commit.start_ns)
                copy.attributes = commit.attributes
                copy.link(commit.ids)
                copy.end(commit.end_ns)
                cause.followed_by = copy.ids
        if cause.end_ns:
            cause.end()  # a tick is over long since, and was not worth a thought then


def push_span(tracing: Tracing, before: SpanIds | None) -> AnySpan:
    """Return the span of handing an event to its subscribers, after the one that it came with."""
    if before is None or not tracing.is_on:
        return NO_SPAN
    return tracing.after("push event", before, SpanKind.CONSUMER)


def _causes(queued: Iterable[Queued]) -> list[Span]:
    """Return what caused these decisions, each once, in order."""
    return list(dict.fromkeys(each.cause for each in queued if each.cause is not None))
