"""Trading that tells nobody what it does: the product's own code without its telemetry.

Not a copy, and not instruments that do nothing: the source of the product's methods with every
statement left out that is there for a metric or a span alone, clock readings included, and compiled
anew. What is left is what a service without telemetry would have to do. Each fragment must stand
exactly once where it is looked for, so that a change of the product is noticed here.

Left in, as they decide and do not tell: the clock that guards judge by, the desk's number of the
tick, the pulse that the supervisor restarts a feed by, the time of the last message that readiness
asks for.
"""

import inspect
import sys
import textwrap
from typing import Any, NamedTuple

from service.loops.trading import Trading


class Left(NamedTuple):
    """A fragment of a method's source, and what stands there without telemetry."""

    method: str
    fragment: str
    instead: str


LEFT_OUT = (
    Left(
        "on_quote",
        """\
    if now >= self._next_look:
        self._look(quote, now)
""",
        """\
    if now >= self._next_rollover:
        self.mark_rollover(now)
""",
    ),
    Left("_take", "            self._refused[outcome] += 1\n", ""),
    Left(
        "_take",
        """\
        cause = deciding_tick(self._tracing, received_ns, len(outcome))
        took_ns = max(0, time.time_ns() - received_ns)
        writer.put(outcome, time.perf_counter_ns() - took_ns, cause)
        self._instruments.tick_to_trigger(took_ns / 1e9, None if cause is None else cause.trace)
    elif self._looks_for_slow_ticks and time.time_ns() - received_ns > TICK_LIMIT_NS:
        slow_tick(self._tracing, received_ns)
""",
        "        writer.put(outcome, 0, None)\n",
    ),
)
# What tells: nothing of the kind may be left.
TELLING = ("_instruments", "_look", "_tracing", "perf_counter", "slow", "span")


class Rotten(Exception):
    """A fragment no longer stands in the product as it does here: write it anew."""


def without_telemetry() -> type[Trading]:
    """Return `Trading` with the path of quotes as it would be without telemetry.

    Raises:
        Rotten: the product has changed.
    """
    methods: dict[str, Any] = {}
    for name in dict.fromkeys(each.method for each in LEFT_OUT):
        method = getattr(Trading, name)
        source = textwrap.dedent(inspect.getsource(method))
        for left in LEFT_OUT:
            if left.method == name:
                if source.count(left.fragment) != 1:
                    raise Rotten(f"not once in Trading.{name}:\n{left.fragment}")
                source = source.replace(left.fragment, left.instead)
        if told := [word for word in TELLING if word in source]:
            raise Rotten(f"Trading.{name} still tells by {', '.join(told)}:\n{source}")
        module = sys.modules[method.__module__]
        exec(compile(source, str(module.__file__), "exec"), vars(module), methods)
    return type("Untold", (Trading,), methods)
