"""A trace goes on over the bus: what an engine does is a part of the request that asked for it."""

from service.domain.shard import ALL_ACCOUNTS
from service.loops.commands import Cancel
from telemetry.spans import Span, Tracing
from tests.bus import Engine, Process, processes
from tests.support import eventually


class Kept(list[Span]):
    """Keeps spans as an outlet."""

    def take(self, span: Span) -> None:
        self.append(span)

    def named(self, name: str) -> Span:
        [found] = [span for span in self if span.name == name]
        return found


async def test_an_engine_goes_on_with_the_trace_of_who_asked(redis_url: str) -> None:
    at_gateway, at_engine = Kept(), Kept()
    async with processes(redis_url) as running:
        gateway = Process(redis_url, 1, Tracing(at_gateway, 1.0))
        gateway.bus.follow(lambda quote, arrived_ns=None: None)
        engine = Process(redis_url, 1, Tracing(at_engine, 0.0))
        engine.bus.serve(ALL_ACCOUNTS, Engine(), lambda quote, arrived_ns=None: None)
        for process in (gateway, engine):
            await running.start(process)
        with gateway.instruments.tracing.span("a request"):
            await gateway.bus.take(1, "k", Cancel(1))
        await eventually(lambda: any(span.name == "answer" for span in at_engine))
        asked, answered = at_gateway.named("ask engine"), at_engine.named("answer")
        assert asked.parent is at_gateway.named("a request")
        assert answered.parent_ids == asked.ids
        assert answered.ids.trace_id == asked.ids.trace_id


async def test_what_nobody_traces_is_not_traced_by_the_engine(redis_url: str) -> None:
    at_engine = Kept()
    async with processes(redis_url) as running:
        gateway = await running.gateway()
        engine = Process(redis_url, 1, Tracing(at_engine, 0.0))
        engine.bus.serve(ALL_ACCOUNTS, Engine(), lambda quote, arrived_ns=None: None)
        await running.start(engine)
        await gateway.bus.take(1, "k", Cancel(1))
    assert not [span for span in at_engine if span.name == "answer"]
