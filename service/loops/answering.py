"""The engine's side of the bus: takes what is asked of a shard, and answers the gateway that asked.

While this process trades the shard it reads the shard's stream, from behind what was there when it
began: that was asked of a former leader, and whoever still waits asks again. A request has an id,
a deadline and the number of the attempt. It is decided at most once here: asked again it joins what
is on its way, or gets the answer that was given. What another leader decided, the command's key
tells (`Intake`), which every command on the bus has. Past its deadline nothing is decided, since
the gateway has stopped waiting: by this host's clock, which must be within seconds of the gateway's
or all seems late, which is logged.

A process that does not trade the shard any more refuses nothing, since the next leader may accept
it; what was committed it tells. Bounded: `AT_ONCE` entries a read, `IN_FLIGHT` requests that are
not committed; between two the event loop goes round, so that no tick waits for more than one.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import Context

import msgspec
from loguru import logger
from opentelemetry.trace import SpanKind

from service.loops.answers import ANSWER_TIMEOUT_S
from service.loops.bus import TakesRequests
from service.loops.requests import (
    ChangeSettings,
    CreateAccount,
    Reply,
    Request,
    UnavailableReply,
    decode_request,
    encode_reply,
    refusal,
)
from service.storage.cache_keys import answers_key, commands_key
from service.storage.stream_writer import StreamWriter
from service.storage.streams import Entry, StreamReader, Streams
from telemetry.pulse import Pulse
from telemetry.span_ids import parse_traceparent
from telemetry.spans import NO_SPAN, AnySpan

AT_ONCE = 100
IN_FLIGHT = 1_000
ANSWERS_KEPT = 10_000
LOOK_S = 0.1
_NS_PER_S = 1_000_000_000
_REMEMBERED_NS = int(2 * ANSWER_TIMEOUT_S * _NS_PER_S)
_ASKED_ONCE = ChangeSettings | CreateAccount


class _Asked:
    """A request on its way, or answered: `reply` is None until then."""

    __slots__ = ("attempt", "deadline", "gateway", "id", "reply")

    def __init__(self, request_id: bytes, gateway: str, deadline: int) -> None:
        self.id = request_id
        self.gateway = gateway
        self.deadline = deadline
        self.attempt = b""
        self.reply: bytes | None = None


class Answering:
    """Answers what is asked of one shard while `leads` says that it is traded here."""

    def __init__(
        self,
        shard: int,
        intake: TakesRequests,
        leads: Callable[[], bool],
        streams: Streams,
        writer: StreamWriter,
    ) -> None:
        self._shard = shard
        self._intake = intake
        self._leads = leads
        self._streams = streams
        self._tracing = streams.instruments.tracing
        self._writer = writer
        # In the order of their deadlines, nearly.
        self._asked: OrderedDict[bytes, _Asked] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._led_since = 0
        self._late = 0
        self._reader: StreamReader | None = None
        self.pulse = Pulse()

    @property
    def is_connected(self) -> bool:
        """Whether it hears what is asked of the shard, unless the shard is not traded here."""
        return not self._leads() or (self._reader is not None and self._reader.is_connected)

    async def run(self) -> None:
        """Answer until cancelled."""
        try:
            while True:
                await self.pulse.rest(self._intake.led())
                if self._leads():
                    await self._lead()
                await asyncio.sleep(LOOK_S)
                self.pulse.beat()
        finally:
            for task in self._tasks:
                task.cancel()
            self._asked.clear()  # what is asked again is no more on its way

    async def _lead(self) -> None:
        self._led_since = time.time_ns()
        reader = self._reader = self._streams.reader(commands_key(self._shard))
        try:
            while self._leads():
                entries = await reader.read(AT_ONCE)
                self.pulse.beat()
                self._forget(time.time_ns())
                for entry in entries:
                    if not self._leads():
                        return
                    self._take(entry)
                    await asyncio.sleep(0)
                if self._late:
                    logger.warning("{} requests came past their deadline", self._late)
                    self._late = 0
                while len(self._tasks) >= IN_FLIGHT:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._reader = None
            await reader.close()

    def _take(self, entry: Entry) -> None:
        try:
            self._take_fields(dict(zip(entry.fields[::2], entry.fields[1::2], strict=True)))
        except (KeyError, ValueError, msgspec.MsgspecError) as error:
            logger.error("a request cannot be read, is it another version's? {!r}", error)

    def _take_fields(self, fields: dict[bytes, bytes]) -> None:
        """Answer a request again, join it to what is on its way, or begin to answer it."""
        request_id, deadline = fields[b"i"], int(fields[b"d"])
        now = time.time_ns()
        if deadline < now:
            self._late += 1
            return
        asked = self._asked.get(request_id)
        if asked is not None:
            asked.attempt = fields[b"a"]
            if asked.reply is not None:
                self._send(asked, asked.reply)
            return
        request = decode_request(fields[b"m"])
        asked_at = deadline - int(ANSWER_TIMEOUT_S * _NS_PER_S)
        if asked_at < self._led_since and isinstance(request, _ASKED_ONCE):
            return  # asked of a former leader, which may have done it; it has no key to tell
        # A gateway whose clock is ahead waits no longer than others.
        until = min(deadline, now + _REMEMBERED_NS)
        asked = self._asked[request_id] = _Asked(request_id, fields[b"g"].decode(), until)
        asked.attempt = fields[b"a"]
        span = self._span(fields.get(b"t"))
        task = asyncio.create_task(self._answer(asked, request, span), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _span(self, traceparent: bytes | None) -> AnySpan:
        if not self._tracing.is_on:
            return NO_SPAN
        before = None if traceparent is None else parse_traceparent(traceparent.decode())
        if before is None:
            return self._tracing.root("answer", SpanKind.CONSUMER)
        return self._tracing.after("answer", before, SpanKind.CONSUMER)

    async def _answer(self, asked: _Asked, request: Request, span: AnySpan) -> None:
        reply: Reply
        try:
            with span:
                reply = await self._intake.answer(request)
        except Exception as error:
            if not self._leads():
                # The next leader may accept it; he is asked again.
                self._asked.pop(asked.id, None)
                return
            known = refusal(error)
            if known is None:
                logger.opt(exception=error).error("a request failed that came over the bus")
                known = UnavailableReply("the engine failed: see its log", 5)
            reply = known
        encoded = encode_reply(reply)
        if isinstance(reply, UnavailableReply) and not isinstance(request, _ASKED_ONCE):
            self._asked.pop(asked.id, None)  # asked again it may be done
        else:
            asked.reply = encoded
        self._send(asked, encoded)

    def _send(self, asked: _Asked, reply: bytes) -> None:
        key = answers_key(asked.gateway)
        # Only where the gateway made it: what is for a gateway that is gone is kept nowhere.
        self._writer.put(
            key,
            (
                *("XADD", key, "NOMKSTREAM", "MAXLEN", "~", ANSWERS_KEPT, "*"),
                *("i", asked.id, "a", asked.attempt, "m", reply),
            ),
        )

    def _forget(self, now: int) -> None:
        """Forget requests that nobody waits for any more."""
        asked = self._asked
        while asked and asked[next(iter(asked))].deadline < now:
            asked.popitem(last=False)
