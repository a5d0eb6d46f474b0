"""A look at a running service: whether it is ready, and how its background loops are.

It asks the ops port, which a process of any role has, and prints a table; a loop that fails, hangs
or is gone has a `!` before it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

import aiohttp
import msgspec

from service.api.ops import LOOPS_PATH
from service.api.readiness import ReadinessReport, State
from service.api.replies import LoopsReply
from service.loops.loop_status import LoopKind, LoopStatus

ASK_TIMEOUT_S = 10.0
_WELL = (State.READY, State.DEGRADED, State.STANDBY)
_HEADINGS = (
    *("", "LOOP", "STATE", "EVERY", "LAST RUN", "LAST SUCCESS", "TOOK", "RUNS", "ERRORS"),
    *("IN A ROW", "RESTARTS", "LAST ERROR"),
)
Shape = TypeVar("Shape")


class CannotAsk(Exception):
    """The service does not say how it is; the message says why, and what to do."""


class ServiceStatus(NamedTuple):
    """What a service says of itself."""

    readiness: ReadinessReport
    loops: Sequence[LoopStatus]

    @property
    def is_well(self) -> bool:
        """Whether it is ready, or a standby, and no loop is ill."""
        return self.readiness.status in _WELL and not any(loop.is_ill for loop in self.loops)


async def ask_status(address: tuple[str, int]) -> ServiceStatus:
    """Ask a service at the address of its ops port.

    Raises:
        CannotAsk: nothing answers there, or it is no Tapewatch.
    """
    timeout = aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        readiness = await _get(session, address, "/readyz", ReadinessReport, {200, 503})
        answer = await _get(session, address, LOOPS_PATH, LoopsReply, {200})
    return ServiceStatus(readiness, answer.loops)


async def _get(
    session: aiohttp.ClientSession,
    address: tuple[str, int],
    path: str,
    shape: type[Shape],
    good: set[int],
) -> Shape:
    host, port = address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with session.get(f"http://{where}{path}") as response:
            if response.status not in good:
                raise CannotAsk(
                    f"{where} answers {response.status}: what is there is no Tapewatch of this "
                    "version, or not its ops port"
                )
            return msgspec.json.decode(await response.read(), type=shape)
    except TimeoutError:
        raise CannotAsk(
            f"{where} does not answer within {ASK_TIMEOUT_S:g} s: the process hangs or is "
            "overloaded; see its log"
        ) from None
    except aiohttp.ClientError:
        raise CannotAsk(
            f"nothing answers at {where}: start the service, or set TAPEWATCH_OPS_HOST and "
            "TAPEWATCH_OPS_PORT to where it is"
        ) from None
    except msgspec.MsgspecError:
        raise CannotAsk(f"what answers at {where} is no Tapewatch of this version") from None


def status_lines(status: ServiceStatus, now: datetime | None = None) -> list[str]:
    """Return what to print: readiness first, then a table of the loops, as of `now` (UTC)."""
    now = datetime.now(UTC) if now is None else now
    checks = "; ".join(
        f"{name}{'' if check.ok else ' FAILS'}: {check.detail}"
        for name, check in status.readiness.checks.items()
    )
    ready = f"{status.readiness.status.upper().replace('_', ' ')} ({checks})"
    rows = [_HEADINGS, *(_row(loop, now) for loop in status.loops)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [ready, "", *table]


def _row(loop: LoopStatus, now: datetime) -> tuple[str, ...]:
    error = loop.last_error or ""
    if error and not loop.is_ill:
        error = f"(over, it took {_duration(loop.recovered_s)}) {error}"
    every = "-" if loop.kind is LoopKind.STANDING else _duration(loop.interval_s)
    return (
        "!" if loop.is_ill else "",
        loop.name,
        loop.state,
        every,
        _age(loop.last_run_at, now),
        _age(loop.last_success_at, now),
        _duration(loop.last_duration_s),
        str(loop.runs),
        str(loop.errors),
        str(loop.consecutive_errors),
        str(loop.restarts),
        error,
    )


def _age(at: str | None, now: datetime) -> str:
    if at is None:
        return "never"
    # Two clocks: what is not yet is now.
    return _duration(max(0.0, (now - datetime.fromisoformat(at)).total_seconds())) + " ago"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
