"""The gateway's side of the bus: asks the engine of a shard, and waits for its answer.

Requests go to the shard's stream, answers come by a stream of this gateway's own. Either may lose
something, and an engine may die or hand its shard over: so what has no answer is asked again every
`AGAIN_S`, with the same id and the same key, until `ANSWER_TIMEOUT_S` are over. Every command has a
key, the client's or one made here, and a key decides one command, whoever leads. At the deadline
the key is looked up once more in the database. What has no key is asked once, unless it only reads.

A refusal is believed where it answers the newest attempt: an older one may be the word of an engine
that has lost the shard since, and the next one may have accepted. What was done is always believed.

Bounded: `OUTSTANDING` requests a shard wait for answers; one more is refused at once, as are all
while answers cannot be heard.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec
from loguru import logger
from opentelemetry.trace import SpanKind

from service.loops.answers import ANSWER_TIMEOUT_S, Unavailable
from service.loops.requests import (
    Answer,
    ChangeSettings,
    CreateAccount,
    RejectedReply,
    Reply,
    Request,
    TakeCommand,
    Taken,
    UnavailableReply,
    WithdrawnReply,
    decode_reply,
    encode_request,
    given,
)
from service.storage.cache_keys import ANSWERS, COMMANDS, answers_key, commands_key
from service.storage.errors import Unreachable
from service.storage.stream_writer import StreamWriter
from service.storage.streams import Entry, Streams
from service.storage.views import EventView
from telemetry.pulse import Pulse
from telemetry.spans import Span

AGAIN_S = 1.0
OUTSTANDING = 1_000
COMMANDS_KEPT = 10_000
ANSWERS_KEPT = 10_000
ANSWERS_AT_ONCE = 100
KEEP_S = 1.0
OWN_KEY = "~"
"""What a key begins with that no client gave."""

_REFUSALS = RejectedReply | UnavailableReply | WithdrawnReply
_decode_event = msgspec.json.Decoder(EventView).decode
StoredAnswer = Callable[[int, str], Awaitable[bytes | None]]


class _Waiting:
    """Who waits for an answer, and the number of the newest attempt, from 1."""

    __slots__ = ("attempt", "future")

    def __init__(self) -> None:
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.attempt = 0


class Asking:
    """Asks engines on behalf of one gateway; `run` hears their answers."""

    def __init__(self, streams: Streams, writer: StreamWriter, stored: StoredAnswer) -> None:
        """Take where the answer to an account's key is `stored`; that raises `Unreachable`."""
        self._gateway = secrets.token_hex(8)
        self._key = answers_key(self._gateway)
        self._instruments = streams.instruments
        self._writer = writer
        self._stored = stored
        self._reader = streams.reader(self._key)
        self._waiting: dict[bytes, _Waiting] = {}
        self._outstanding: Counter[int] = Counter()
        self.pulse = Pulse()
        streams.instruments.watch_outstanding(lambda: len(self._waiting))

    @property
    def is_connected(self) -> bool:
        """Whether answers can be heard."""
        return self._reader.is_connected

    async def run(self) -> None:
        """Hear answers until cancelled."""
        kept_s = -KEEP_S
        try:
            while True:
                if time.monotonic() - kept_s >= KEEP_S:
                    kept_s = time.monotonic()
                    self._keep()
                for entry in await self._reader.read(ANSWERS_AT_ONCE):
                    self._hear(entry)
                self.pulse.beat()
        finally:
            await self._reader.close()

    def _keep(self) -> None:
        """Have the stream of answers exist, as engines write to no other."""
        self._writer.put(
            self._key,
            ("XADD", self._key, "MAXLEN", "~", ANSWERS_KEPT, "*", "h", ""),
            ("EXPIRE", self._key, ANSWERS.expiry_s),
        )

    def _hear(self, entry: Entry) -> None:
        if len(entry.fields) != 6:
            return
        _, request_id, _, attempt, _, payload = entry.fields
        waiting = self._waiting.get(request_id)
        if waiting is None or waiting.future.done():
            return
        try:
            reply, is_newest = decode_reply(payload), int(attempt) == waiting.attempt
        except (ValueError, msgspec.MsgspecError) as error:
            logger.error("an answer cannot be read, is it another version's? {!r}", error)
            return
        if is_newest or not isinstance(reply, _REFUSALS):
            waiting.future.set_result(reply)

    async def ask(self, shard: int, request: Request) -> Answer:
        """Have whoever trades a shard answer.

        Raises:
            Rejected, Unavailable, Withdrawn: as of `Bus.ask`.
        """
        if self._outstanding[shard] >= OUTSTANDING:
            self._instruments.unanswered(shard)
            raise Unavailable("too many commands wait for this account's engine: try again")
        if not self.is_connected:
            self._instruments.unanswered(shard)
            raise Unavailable("the engines cannot be asked now, Redis is away: try again")
        request_id = secrets.token_bytes(16)
        is_own_key = isinstance(request, TakeCommand) and request.key is None
        if isinstance(request, TakeCommand) and request.key is None:
            key = OWN_KEY + request_id.hex()
            request = TakeCommand(request.account_id, key, request.command)
        waiting = self._waiting[request_id] = _Waiting()
        self._outstanding[shard] += 1
        span = self._instruments.tracing.span("ask engine", SpanKind.PRODUCER)
        try:
            with span:
                traceparent = span.traceparent if isinstance(span, Span) else None
                reply = await self._attempts(shard, request_id, request, waiting, traceparent)
        finally:
            self._outstanding[shard] -= 1
            del self._waiting[request_id]
        if reply is None:
            reply = await self._look_up(shard, request)
        answer = given(reply)
        return Taken(answer.event, False) if is_own_key and isinstance(answer, Taken) else answer

    async def _attempts(
        self,
        shard: int,
        request_id: bytes,
        request: Request,
        waiting: _Waiting,
        traceparent: str | None,
    ) -> Reply | None:
        """Ask until there is an answer; None: there was none in time."""
        until_s = time.monotonic() + ANSWER_TIMEOUT_S
        deadline_ns = time.time_ns() + int(ANSWER_TIMEOUT_S * 1e9)
        is_once = isinstance(request, ChangeSettings | CreateAccount)
        key = commands_key(shard)
        fields: list[str | bytes | int] = [
            *("i", request_id, "g", self._gateway, "d", deadline_ns),
            *("m", encode_request(request)),
        ]
        if traceparent is not None:
            fields += ["t", traceparent]
        while (left_s := until_s - time.monotonic()) > 0:
            waiting.attempt += 1
            if waiting.attempt > 1:
                self._instruments.asked_again()
            self._writer.put(
                key,
                ("XADD", key, "MAXLEN", "~", COMMANDS_KEPT, "*", *fields, "a", waiting.attempt),
                ("EXPIRE", key, COMMANDS.expiry_s),
            )
            wait_s = left_s if is_once else min(AGAIN_S, left_s)
            await asyncio.wait((waiting.future,), timeout=wait_s)
            if waiting.future.done():
                return waiting.future.result()
        return None

    async def _look_up(self, shard: int, request: Request) -> Reply:
        """Return the stored answer to a command that nobody answered.

        Raises:
            Unavailable: there is none, or it cannot be looked up.
        """
        self._instruments.unanswered(shard)
        if isinstance(request, TakeCommand) and request.key is not None:
            try:
                event = await self._stored(request.account_id, request.key)
            except Unreachable:
                event = None
            if event is not None:
                return Taken(_decode_event(event), True)
        raise Unavailable(
            "no engine answered in time; it may be done yet: ask again with the same idempotency "
            "key, or look before you ask",
            5,
        )
