"""What a service that runs at full speed logs, and how soon it ends when nobody reads its log."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from pathlib import Path

from service.loops.order_log import LINES_PER_S
from service.storage.server_process import LOOPBACK
from tests.service_process import COMMAND, ROOT, START_TIMEOUT_S, Service, environment
from tests.support import eventually

TICKS_PER_S = 10_000
TICKS = 40_000
STOP_TIMEOUT_S = 60.0


def figure(ops_port: str, name: str) -> float:
    """Return the sum of a metric's samples."""
    with urllib.request.urlopen(f"http://{LOOPBACK}:{ops_port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)))


def full_pipe() -> tuple[int, int]:
    """Return the ends of a pipe that takes no more byte."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for text in (b"full" * 1_000, b"!"):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, text)
    os.set_blocking(writing, True)
    return reading, writing


def started(env: dict[str, str], errors: int) -> "subprocess.Popen[bytes]":
    """Start a service that logs to `errors`, which is closed here."""
    process = subprocess.Popen(
        [*COMMAND, "run"], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stderr=errors
    )
    os.close(errors)
    return process


async def test_ten_thousand_ticks_a_second_make_a_few_lines_a_second(tmp_path: Path) -> None:
    env = environment(tmp_path / "data", FEED_RATE=TICKS_PER_S, LOG_FORMAT="json")
    ops_port = env["TAPEWATCH_OPS_PORT"]
    service = Service(env, tmp_path / "run.log")
    try:
        await service.ready()
        before = len(service.log.splitlines())
        ticks, started = figure(ops_port, "tapewatch_quotes_total"), time.monotonic()
        await eventually(lambda: figure(ops_port, "tapewatch_quotes_total") >= ticks + TICKS)
        lines = [json.loads(line) for line in service.log.splitlines()[before:]]
        seconds = int(time.monotonic() - started) + 2  # begun and ended within one
        levels = Counter((line["level"], line["area"]) for line in lines)
        assert levels["DEBUG", "orders"] <= LINES_PER_S * seconds, lines
        assert levels["INFO", "service"] <= seconds, lines
        assert set(levels) <= {("DEBUG", "orders"), ("INFO", "service")}, lines
        assert figure(ops_port, "tapewatch_log_records_total") >= len(lines)
        assert figure(ops_port, "tapewatch_log_records_dropped_total") == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            await service.stop()


async def test_a_log_that_nobody_reads_holds_up_neither_trading_nor_the_end(
    tmp_path: Path,
) -> None:
    env = environment(tmp_path / "data", FEED_RATE=TICKS_PER_S, LOG_LEVEL="DEBUG")
    ops_port = env["TAPEWATCH_OPS_PORT"]
    reading, writing = full_pipe()
    process = started(env, writing)

    def ticks() -> float:
        try:
            return figure(ops_port, "tapewatch_quotes_total")
        except OSError:
            return 0.0

    try:
        await eventually(lambda: ticks() > TICKS_PER_S, START_TIMEOUT_S)
        process.send_signal(signal.SIGTERM)
        await eventually(lambda: process.poll() is not None, STOP_TIMEOUT_S)
        assert process.returncode == os.EX_OK
    finally:
        os.close(reading)
        process.kill()
        process.wait()
