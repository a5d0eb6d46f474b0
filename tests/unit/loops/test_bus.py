"""A request reaches the engine of its shard, and no other; a quote reaches all."""

import pytest

from service.domain.decision import EventKind
from service.domain.quote import Quote
from service.domain.rejection import RejectCode, Rejected
from service.domain.shard import ALL_ACCOUNTS, AccountShard
from service.loops.answers import Unavailable
from service.loops.bus import Bus, MemoryBus
from service.loops.commands import Cancel
from service.loops.requests import Answer, Done, ListExposure, Request, TakeCommand, Taken
from service.storage.views import EventView

QUOTE = Quote("EURUSD", 1, 2, 3)


class Engine:
    """Writes down what it takes."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.quotes: list[Quote] = []
        self.refusal: Exception | None = None

    async def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.refusal is not None:
            raise self.refusal
        if not isinstance(request, TakeCommand):
            return Done()
        event = EventView(
            account_id=request.account_id,
            sequence=1,
            kind=EventKind.CANCELLED,
            balance="0.00",
            margin="0",
            order=None,
            deal=None,
        )
        return Taken(event, is_repeated=False)

    def on_quote(self, quote: Quote) -> None:
        self.quotes.append(quote)


def serve(bus: Bus, shards: int) -> list[Engine]:
    engines = [Engine() for _ in range(shards)]
    for number, engine in enumerate(engines):
        bus.serve(AccountShard(number, shards), engine, engine.on_quote)
    return engines


async def test_a_command_goes_to_the_shard_of_its_account() -> None:
    bus = MemoryBus(3)
    engines = serve(bus, 3)
    for account_id in range(1, 8):
        taken = await bus.take(account_id, f"key {account_id}", Cancel(account_id))
        assert taken.event.account_id == account_id
    commands = [
        [TakeCommand(each, f"key {each}", Cancel(each)) for each in accounts]
        for accounts in ((3, 6), (1, 4, 7), (2, 5))
    ]
    assert [each.requests for each in engines] == commands


async def test_a_shard_answers_what_it_alone_is_asked() -> None:
    bus = MemoryBus(3)
    engines = serve(bus, 3)
    assert await bus.ask(2, ListExposure()) == Done()
    assert [each.requests for each in engines] == [[], [], [ListExposure()]]


async def test_what_the_engine_answers_comes_back() -> None:
    bus = MemoryBus(1)
    [engine] = serve(bus, 1)
    engine.refusal = Rejected(RejectCode.ORDER_NOT_FOUND, "no live order 1", "order_id")
    with pytest.raises(Rejected) as refused:
        await bus.take(1, None, Cancel(1))
    assert refused.value is engine.refusal


async def test_an_account_that_nobody_trades_is_unavailable() -> None:
    bus = MemoryBus(2)
    bus.serve(AccountShard(0, 2), Engine(), Engine().on_quote)
    await bus.take(2, None, Cancel(1))
    with pytest.raises(Unavailable):
        await bus.take(1, None, Cancel(1))


def test_every_engine_sees_every_quote() -> None:
    bus = MemoryBus(3)
    engines = serve(bus, 3)
    bus.quotes()(QUOTE)
    assert [each.quotes for each in engines] == [[QUOTE]] * 3


def test_nothing_is_between_a_feed_and_its_only_engine() -> None:
    bus = MemoryBus(1)
    engine = Engine()
    take_quote = engine.on_quote
    bus.serve(ALL_ACCOUNTS, engine, take_quote)
    assert bus.quotes() is take_quote


def test_a_shard_of_another_division_is_refused() -> None:
    for shard in (AccountShard(0, 3), AccountShard(2, 2)):
        with pytest.raises(ValueError, match="none of 2 shards"):
            MemoryBus(2).serve(shard, Engine(), Engine().on_quote)
