"""The span of a tick that decided something: told at once if slow, exported with its commit."""

import time

from service.loops.tick_span import TICK_LIMIT_NS, deciding_tick
from telemetry.limits import Limit
from telemetry.spans import Tracing
from tests.unit.telemetry.test_spans import Box


def test_a_slow_tick_can_be_an_exemplar_before_its_commit_ends_it() -> None:
    box = Box()
    tracing = Tracing(box, 0.0)
    slow = deciding_tick(tracing, time.time_ns() - TICK_LIMIT_NS - 1, 3)
    assert slow is not None
    assert slow.trace == slow.ids.trace
    assert not box.spans
    slow.end()
    assert (box.spans, tracing.slow_traced[Limit.TICK]) == ([slow], 1)


def test_a_quick_tick_is_one_only_if_it_is_sampled() -> None:
    received_ns = time.time_ns() + TICK_LIMIT_NS  # however long the test takes
    quick = deciding_tick(Tracing(Box(), 0.0), received_ns, 3)
    sampled = deciding_tick(Tracing(Box(), 1.0), received_ns, 3)
    assert quick is not None
    assert sampled is not None
    assert (quick.trace, sampled.trace) == (None, sampled.ids.trace)
    assert deciding_tick(Tracing(), received_ns, 3) is None
