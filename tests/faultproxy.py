"""A TCP proxy that hurts: delay, cuts, black holes, and traps on what a client sends.

A trap stops a connection at a chosen moment of the protocol, so that a lost COMMIT or a lost
COMMIT reply happens for certain and not by luck:

    trap = proxy.arm(b"COMMIT", Moment.BEFORE_REPLY, reply=b"COMMIT")
    ...                     # the client commits: the server has done it, the client cannot know
    await trap.sprung()     # the connection stands still here; kill a process, stop a server, ...
    trap.cut()              # reset the connection; or trap.release() to let it go on

A proxy may `rewrite` what a server answers, so that a server that names others names their proxies:
it is given the bytes as they come, and must not change how many they are.

Works on any byte stream; a pattern split over two reads is found. Bytes stay in order. The proxy
listens on loopback and keeps its port while it is down.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self

from service.storage.free_ports import free_port

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 65_536
IN_FLIGHT_CHUNKS = 256  # a direction holds at most 16 MiB, then its sender waits
SPRUNG_TIMEOUT_S = 30.0
# SO_LINGER with zero seconds: closing sends a reset instead of a farewell.
RESET = struct.pack("ii", 1, 0)


class Moment(Enum):
    """Where a trap stops the connection."""

    BEFORE_FORWARD = "the server has not seen the matching bytes"
    BEFORE_REPLY = "the server has answered, the client has not heard it"


class Trap:
    """Stops the first connection whose client sends `pattern`, after `skip` earlier matches."""

    def __init__(self, pattern: bytes, moment: Moment, *, skip: int, reply: bytes) -> None:
        self.pattern = pattern
        self.moment = moment
        self.reply = reply
        self.matches_left = skip
        self._sprung = asyncio.Event()
        self._decided = asyncio.Event()
        self._connection: Connection | None = None

    @property
    def has_sprung(self) -> bool:
        return self._sprung.is_set()

    async def sprung(self, timeout_s: float = SPRUNG_TIMEOUT_S) -> None:
        """Wait until a connection stands still in the trap. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._sprung.wait()

    def cut(self) -> None:
        """Reset the caught connection: what it held back is lost."""
        assert self._connection is not None, "the trap has not sprung"
        self._connection.reset()

    def release(self) -> None:
        """Let the caught connection go on as if nothing had happened."""
        self._decided.set()

    async def catch(self, connection: "Connection") -> None:
        """Hold the calling direction of a connection until it is released."""
        self._connection = connection
        self._sprung.set()
        await self._decided.wait()


class Finder:
    """Finds a pattern in a stream of chunks, each occurrence once."""

    def __init__(self, pattern: bytes) -> None:
        self._pattern = pattern
        self._tail = b""

    def count(self, chunk: bytes) -> int:
        """Return how many occurrences end in this chunk."""
        window = self._tail + chunk
        keep = len(self._pattern) - 1
        self._tail = window[-keep:] if keep else b""
        return window.count(self._pattern)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, dropping what was not sent."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


class Connection:
    """One client and its connection to the server."""

    def __init__(
        self,
        proxy: "FaultProxy",
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._client_reader, self._client_writer = client
        self._server_reader, self._server_writer = server
        self._finders: dict[Trap, Finder] = {}
        self._waiting_for_reply: tuple[Trap, Finder] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Carry bytes both ways until one side ends or the connection is reset."""
        self._tasks = [
            asyncio.create_task(self._carry(self._client_reader, self._server_writer, True)),
            asyncio.create_task(self._carry(self._server_reader, self._client_writer, False)),
        ]
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in self._tasks:
                task.cancel()
            results = await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in (self._client_writer, self._server_writer):
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, OSError):
                raise result

    def reset(self) -> None:
        """Send a reset to both sides."""
        for writer in (self._client_writer, self._server_writer):
            reset(writer)
        for task in self._tasks:
            task.cancel()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, from_client: bool
    ) -> None:
        """Write in order, each chunk `delay_s` after it was read; return at the end of one side."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT_CHUNKS)
        reading = asyncio.create_task(self._read_ahead(reader, chunks))
        try:
            while True:
                read_at, chunk = await chunks.get()
                if not chunk:
                    return
                await asyncio.sleep(max(0.0, read_at + self._proxy.delay_s - loop.time()))
                await self._proxy.flowing.wait()
                await (self._judge_request(chunk) if from_client else self._judge_reply(chunk))
                if not from_client:
                    if self._proxy.is_deaf:
                        continue
                    chunk = self._proxy.rewrite(chunk)
                writer.write(chunk)
                await writer.drain()
        finally:
            reading.cancel()

    @staticmethod
    async def _read_ahead(
        reader: asyncio.StreamReader, chunks: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        loop = asyncio.get_running_loop()
        chunk = b"-"
        while chunk:
            try:
                chunk = await reader.read(CHUNK_BYTES)
            except OSError:
                chunk = b""
            await chunks.put((loop.time(), chunk))

    async def _judge_request(self, chunk: bytes) -> None:
        for trap in list(self._proxy.traps):
            found = self._finders.setdefault(trap, Finder(trap.pattern)).count(chunk)
            if found <= trap.matches_left:
                trap.matches_left -= found
                continue
            self._proxy.traps.remove(trap)
            if trap.moment is Moment.BEFORE_FORWARD:
                await trap.catch(self)
            else:
                self._waiting_for_reply = trap, Finder(trap.reply)

    async def _judge_reply(self, chunk: bytes) -> None:
        if self._waiting_for_reply is not None:
            trap, finder = self._waiting_for_reply
            if not trap.reply or finder.count(chunk):
                self._waiting_for_reply = None
                await trap.catch(self)


class FaultProxy:
    """Listens on a loopback port of its own and forwards to `target_host:target_port`."""

    def __init__(
        self, target_host: str, target_port: int, rewrite: Callable[[bytes], bytes] = bytes
    ) -> None:
        self.target = (target_host, target_port)
        self.rewrite = rewrite
        self.port = free_port()
        self.delay_s = 0.0
        """Seconds each chunk is held back, each way; may change at any time."""
        self.is_deaf = False
        """Whether what servers answer is lost; end it by `cut`, for what was lost is missing."""
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.traps: deque[Trap] = deque()
        self._listener: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []

    async def __aenter__(self) -> Self:
        await self.restore()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.cut()
        if self._failures:
            raise ExceptionGroup("the proxy itself failed", self._failures)

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._connections)

    async def cut(self) -> None:
        """Reset every connection and refuse new ones until `restore`."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def restore(self) -> None:
        """Accept connections, on the same port as before."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, LOOPBACK, self.port)

    def pause(self) -> None:
        """Become a black hole: accept everything, pass nothing on, until `resume`."""
        self.flowing.clear()

    def resume(self) -> None:
        """Pass on what was held back, in order, and all that follows."""
        self.flowing.set()

    def arm(self, pattern: bytes, moment: Moment, *, skip: int = 0, reply: bytes = b"") -> Trap:
        """Set a trap, which catches one connection once.

        `skip` matches pass first, counted over all connections. With `BEFORE_REPLY` the trap
        springs at the server's first bytes that contain `reply`, or at any where it is empty;
        the chunk that contains it is what the client does not hear.
        """
        trap = Trap(pattern, moment, skip=skip, reply=reply)
        self.traps.append(trap)
        return trap

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            try:
                server = await asyncio.open_connection(*self.target)
            except OSError:
                reset(writer)
                return
            connection = Connection(self, (reader, writer), server)
            self._connections.add(connection)
            try:
                await connection.run()
            finally:
                self._connections.discard(connection)
        except asyncio.CancelledError:
            # Cancelled by `cut` alone, which waits for the end of this task.
            reset(writer)
        except Exception as error:
            self._failures.append(error)
        finally:
            self._tasks.discard(task)
