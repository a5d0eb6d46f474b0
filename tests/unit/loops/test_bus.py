"""What every bus holds: a request reaches the engine of its shard alone, a quote reaches all."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import pytest

from service.domain.quote import Quote
from service.domain.rejection import RejectCode, Rejected
from service.domain.shard import ALL_ACCOUNTS, AccountShard
from service.loops.answers import Unavailable, Withdrawn
from service.loops.bus import Bus, MemoryBus
from service.loops.commands import Cancel
from service.loops.requests import Done, ListExposure, TakeCommand
from tests.bus import Engine, Process, event_of, processes
from tests.support import eventually

QUOTES = [Quote("EURUSD", number, number + 1, number) for number in range(200)]


class Ends:
    """The bus as engines have it and as gateway and feed do, which may be the same."""

    def __init__(self, shards: int, at_engines: Bus, at_gateway: Bus, at_feed: Bus) -> None:
        self.at_engines = at_engines
        self.at_gateway = at_gateway
        self.at_feed = at_feed
        self.engines = [Engine() for _ in range(shards)]

    def serve(self, served: Iterable[int]) -> None:
        for number in served:
            engine = self.engines[number]
            shard = AccountShard(number, len(self.engines))
            self.at_engines.serve(shard, engine, engine.on_quote)


Connect = Callable[[int, Iterable[int]], Awaitable[Ends]]


class BusContract(ABC):
    """`connect` makes a bus of some shards, of which some are served."""

    @pytest.fixture
    @abstractmethod
    def connect(self) -> Connect: ...

    async def test_a_command_goes_to_the_shard_of_its_account(self, connect: Connect) -> None:
        ends = await connect(3, range(3))
        for account_id in range(1, 8):
            taken = await ends.at_gateway.take(account_id, f"key {account_id}", Cancel(account_id))
            assert taken.event == event_of(account_id)
            assert not taken.is_repeated
        commands = [
            [TakeCommand(each, f"key {each}", Cancel(each)) for each in accounts]
            for accounts in ((3, 6), (1, 4, 7), (2, 5))
        ]
        assert [each.requests for each in ends.engines] == commands

    async def test_a_command_needs_no_key(self, connect: Connect) -> None:
        ends = await connect(1, [0])
        taken = await ends.at_gateway.take(1, None, Cancel(5))
        assert taken.event == event_of(1)
        assert not taken.is_repeated
        [request] = ends.engines[0].requests
        assert isinstance(request, TakeCommand)
        assert (request.account_id, request.command) == (1, Cancel(5))

    async def test_a_shard_answers_what_it_alone_is_asked(self, connect: Connect) -> None:
        ends = await connect(3, range(3))
        assert await ends.at_gateway.ask(2, ListExposure()) == Done()
        assert [each.requests for each in ends.engines] == [[], [], [ListExposure()]]

    @pytest.mark.parametrize(
        "refusal",
        [
            Rejected(RejectCode.ORDER_NOT_FOUND, "no live order 1", "order_id"),
            Unavailable("the database is away: try again", 3),
            Withdrawn("it could not be stored"),
        ],
        ids=lambda refusal: type(refusal).__name__,
    )
    async def test_a_refusal_is_raised_where_it_was_asked(
        self, connect: Connect, refusal: Exception
    ) -> None:
        ends = await connect(1, [0])
        ends.engines[0].refusal = refusal
        with pytest.raises(type(refusal)) as refused:
            await ends.at_gateway.take(1, None, Cancel(1))
        assert refused.value.args == refusal.args
        assert vars(refused.value) == vars(refusal)

    async def test_an_account_that_nobody_trades_is_unavailable(self, connect: Connect) -> None:
        ends = await connect(2, [0])
        await ends.at_gateway.take(2, None, Cancel(1))
        with pytest.raises(Unavailable):
            await ends.at_gateway.take(1, None, Cancel(1))

    async def test_every_engine_sees_every_quote_in_order(self, connect: Connect) -> None:
        ends = await connect(3, range(3))
        take = ends.at_feed.quotes()
        for quote in QUOTES:
            take(quote)
        await eventually(lambda: all(len(each.quotes) == len(QUOTES) for each in ends.engines))
        assert [each.quotes for each in ends.engines] == [QUOTES] * 3

    async def test_a_shard_of_another_division_is_refused(self, connect: Connect) -> None:
        ends = await connect(2, [])
        for shard in (AccountShard(0, 3), AccountShard(2, 2)):
            with pytest.raises(ValueError, match="none of 2 shards"):
                ends.at_engines.serve(shard, Engine(), Engine().on_quote)


class TestMemoryBus(BusContract):
    @pytest.fixture
    def connect(self) -> Connect:
        async def connect(shards: int, served: Iterable[int]) -> Ends:
            bus = MemoryBus(shards)
            ends = Ends(shards, bus, bus, bus)
            ends.serve(served)
            return ends

        return connect

    def test_nothing_is_between_a_feed_and_its_only_engine(self) -> None:
        bus = MemoryBus(1)
        engine = Engine()
        take_quote = engine.on_quote
        bus.serve(ALL_ACCOUNTS, engine, take_quote)
        assert bus.quotes() is take_quote


class TestRedisBus(BusContract):
    @pytest.fixture
    async def connect(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Connect]:
        monkeypatch.setattr("service.loops.asking.ANSWER_TIMEOUT_S", 1.5)
        async with processes(redis_url) as running:

            async def connect(shards: int, served: Iterable[int]) -> Ends:
                engine, gateway, feed = (Process(redis_url, shards) for _ in range(3))
                ends = Ends(shards, engine.bus, gateway.bus, feed.bus)
                ends.serve(served)
                gateway.bus.follow(lambda quote, arrived_ns=None: None)
                feed.bus.quotes()
                for each in (engine, gateway, feed):
                    await running.start(each)
                await eventually(lambda: feed.bus.is_feeding)
                return ends

            yield connect
