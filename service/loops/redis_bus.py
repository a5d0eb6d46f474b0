"""The bus between processes: streams of Redis, on one server or on a cluster.

Quotes go by one stream that all read (`service.loops.tick_stream`), requests by one for each shard
and their answers by one for each gateway (`asking`, `answering`). What may be lost on the way, and
what then becomes of it, is said there: nothing is decided twice, and nothing is answered as done
that is not.

A process takes part in what it asks of the bus before `keep`: `serve` makes it an engine, `follow`
a gateway, `quotes` a feed.
"""

from collections.abc import Callable

from service.domain.shard import AccountShard
from service.instruments import Instruments
from service.loops.answering import Answering
from service.loops.asking import Asking, StoredAnswer
from service.loops.bus import Bus, TakeArrived, TakeQuote, TakesRequests
from service.loops.feed_duty import FeedDuty
from service.loops.requests import Answer, Request
from service.loops.supervisor import LoopGroup
from service.loops.tick_stream import TickReader, TickWriter
from service.storage.database import Database
from service.storage.stream_writer import StreamWriter
from service.storage.streams import Streams

LAG_LIMIT_S = 1.0


class RedisBus(Bus):
    """A process's end of the bus."""

    def __init__(
        self,
        url: str,
        shards: int,
        instruments: Instruments,
        database: Database,
        stored: StoredAnswer,
        leads: Callable[[int], bool],
        holder: str,
        lease_life_s: float,
    ) -> None:
        """Take what a process may need in any role.

        Args:
            database: where feeds have their lease.
            stored: reads the answer to an account's key; raises `Unreachable`.
            leads: whether a shard's lease is this process's own and was renewed in time.
            holder: names this process in the lease; must differ between processes.
        """
        super().__init__(shards)
        self._streams = Streams(url, instruments)
        self._writer = StreamWriter(self._streams)
        self._leads = leads
        self._ticks = TickReader(self._streams)
        self._asking = Asking(self._streams, self._writer, stored)
        self._answering: dict[int, Answering] = {}
        self._feeding = TickWriter(self._streams)
        self._duty = FeedDuty(database, self._feeding, holder, lease_life_s)
        self._is_feed = self._is_gateway = False

    @property
    def gap_hooks(self) -> list[Callable[[], None]]:
        """Called when quotes were lost before they were read."""
        return self._ticks.gap_hooks

    @property
    def is_feeding(self) -> bool:
        """Whether it is this feed that writes the ticks."""
        return self._feeding.is_leading

    @property
    def is_connected(self) -> bool:
        """Whether it hears all that it should, in the parts that it takes."""
        ends: list[TickReader | Asking | Answering] = list(self._answering.values())
        if self._is_gateway:
            ends.append(self._asking)
        if ends:
            ends.append(self._ticks)
        return all(end.is_connected for end in ends)

    def serve(
        self, shard: AccountShard, intake: TakesRequests, take_quote: TakeArrived | None
    ) -> None:
        """Have the requests of a shard answered by `intake`, and every quote taken, as `Bus.serve`.

        Raises:
            ValueError: it is no shard of this bus.
        """
        self._require_own(shard)
        number = shard.number
        self._answering[number] = Answering(
            number, intake, lambda: self._leads(number), self._streams, self._writer
        )
        if take_quote is not None:
            self._ticks.hand_to(take_quote)

    def follow(self, take_quote: TakeArrived) -> None:
        """Have every quote taken, and ask engines."""
        self._is_gateway = True
        self._ticks.hand_to(take_quote)

    def quotes(self) -> TakeQuote:
        """Return what a feed is to call with every quote."""
        self._is_feed = True
        return self._feeding.take

    async def ask(self, shard: int, request: Request) -> Answer:
        """Have whoever trades a shard answer; raises as of `Bus.ask`."""
        return await self._asking.ask(shard, request)

    def keep(self, loops: LoopGroup) -> None:
        """Have done what this process takes part in, from now on."""
        if self._answering or self._is_gateway:
            loops.keep("ticks", self._ticks.run, self._ticks.pulse)
        for number, answering in self._answering.items():
            loops.of_part(str(number)).keep("commands", answering.run, answering.pulse)
        if self._is_gateway:
            loops.keep("answers", self._asking.run, self._asking.pulse)
        if self._is_feed:
            loops.keep("feed_lease", self._duty.run, self._duty.pulse)
            loops.keep("tick_writer", self._feeding.run, self._feeding.pulse)

    @property
    def tick_lag_s(self) -> float:
        """How far behind ticks are read, or for how long they cannot be."""
        return self._ticks.lag_s

    async def check_ticks(self) -> tuple[bool, str]:
        """Tell whether ticks are read, and how far behind."""
        lag_s = self.tick_lag_s
        return lag_s <= LAG_LIMIT_S, f"ticks are read {lag_s:.1f} s behind"

    async def stop(self) -> None:
        """Write what waits, let the next feed in and leave; bounded. Its loops have ended."""
        await self._feeding.flush()
        await self._duty.stop()
        await self._writer.stop()
        await self._streams.close()
