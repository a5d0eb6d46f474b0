"""The service's own logging for the length of a benchmark, written to the null device."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from telemetry.log_line import json_text
from telemetry.logs import Area, Logs


@contextmanager
def quiet_logs() -> Iterator[Logs]:
    """Render and write every line from INFO on, the libraries' too, where nobody reads it."""
    with (
        open(os.devnull, "w", encoding="utf-8") as out,
        Logs(out, {}, Area("service", "INFO"), json_text) as logs,
    ):
        yield logs
