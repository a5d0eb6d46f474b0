"""A whole service as a benchmark's subject: `tapewatch run` on the disk of this checkout."""

import re
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from service.storage.server_process import LOOPBACK
from tests.bench.server import BUILD
from tests.service_process import Service, environment

SCRAPE_TIMEOUT_S = 10.0


class WholeService(Service):
    """A service whose metrics can be read."""

    def figure(self, name: str) -> float:
        """Return the sum of a metric's samples."""
        address = f"http://{LOOPBACK}:{self.environment['TAPEWATCH_OPS_PORT']}/metrics"
        with urllib.request.urlopen(address, timeout=SCRAPE_TIMEOUT_S) as answer:
            text = answer.read().decode()
        return sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)))


@asynccontextmanager
async def whole_service(
    collector: str | None = None, **settings: object
) -> AsyncIterator[WholeService]:
    """Start a service with its own servers on free ports; stop it, if nobody has, when left."""
    BUILD.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="bench-", dir=BUILD) as name:
        folder = Path(name).resolve()
        variables = environment(folder / "data", **settings)
        if collector is not None:
            variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector
        service = WholeService(variables, folder / "run.log")
        try:
            yield service
        finally:
            if not service.has_ended:
                await service.stop()
