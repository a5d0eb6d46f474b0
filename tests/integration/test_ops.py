"""The ops port over real HTTP."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from service.api import readiness
from service.api.ops import build_ops
from service.api.readiness import Readiness
from service.api.serving import runner_of
from service.instruments import Instruments
from service.loops.supervisor import Supervisor
from service.storage.server_process import LOOPBACK

Client = aiohttp.ClientSession


class Service:
    """What the readiness of a service depends on, by hand."""

    def __init__(self) -> None:
        self.leading = True
        self.instruments = Instruments()
        self.readiness = Readiness(lambda: self.leading)
        self.supervisor = Supervisor(self.instruments, Random())
        self.database_ok = True
        self.asked = 0

    async def check_database(self) -> tuple[bool, str]:
        self.asked += 1
        return self.database_ok, "answers" if self.database_ok else "connection refused"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(readiness, "CACHE_S", 0.0)
    service = Service()
    service.readiness.register("database", service.check_database)
    return service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    runner = runner_of(build_ops(service.instruments, service.readiness, service.supervisor))
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    async with aiohttp.ClientSession(f"http://{LOOPBACK}:{runner.addresses[0][1]}") as client:
        yield client
    await runner.cleanup()


async def test_metrics_are_what_a_prometheus_reads(service: Service, client: Client) -> None:
    service.instruments.watch_quotes(lambda: 2)
    response = await client.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    families = {each.name: each for each in text_string_to_metric_families(await response.text())}
    assert families["tapewatch_quotes"].samples[0].value == 2
    assert families["tapewatch_scrape_seconds"].samples[-1].value == 0
    again = text_string_to_metric_families(await (await client.get("/metrics")).text())
    cost = {each.name: each for each in again}
    assert cost["tapewatch_scrape_seconds"].samples[-1].value > 0
    assert cost["tapewatch_exported_series"].samples[0].value > 500


async def test_metrics_come_as_openmetrics_when_asked(client: Client) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    response = await client.get("/metrics", headers=accept)
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert (await response.text()).endswith("# EOF\n")


async def test_alive_is_alive_whatever_the_checks_say(service: Service, client: Client) -> None:
    service.database_ok = False
    response = await client.get("/livez")
    assert (response.status, await response.json()) == (200, {"status": "alive"})


async def test_ready_when_all_checks_are_well(client: Client) -> None:
    response = await client.get("/readyz")
    assert response.status == 200
    assert await response.json() == {
        "status": "ready",
        "checks": {"database": {"ok": True, "required": True, "detail": "answers"}},
    }


async def test_a_failing_check_is_named(service: Service, client: Client) -> None:
    service.database_ok = False
    response = await client.get("/readyz")
    body = await response.json()
    assert (response.status, body["status"]) == (503, "not_ready")
    assert body["checks"]["database"]["detail"] == "connection refused"
    service.database_ok = True
    assert (await client.get("/readyz")).status == 200


async def test_a_check_that_is_not_required_fails_alone(service: Service, client: Client) -> None:
    async def check() -> tuple[bool, str]:
        return False, "away"

    service.readiness.register("redis", check, required=False)
    response = await client.get("/readyz")
    body = await response.json()
    assert (response.status, body["status"]) == (200, "degraded")
    assert body["checks"]["redis"] == {"ok": False, "required": False, "detail": "away"}


async def test_verbose_says_how_long_each_check_took_and_how_long_ago_that_was(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "CACHE_S", 3600.0)
    first = (await (await client.get("/readyz?verbose")).json())["checks"]["database"]
    assert first.keys() == {"ok", "required", "detail", "latency_s", "age_s"}
    assert first["latency_s"] >= 0
    await asyncio.sleep(0.01)
    second = (await (await client.get("/readyz?verbose=1")).json())["checks"]["database"]
    assert second["latency_s"] == first["latency_s"]
    assert second["age_s"] > first["age_s"]


@pytest.mark.parametrize(
    ("accept", "is_text"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("text/plain, application/json", False),
        ("text/plain", True),
        ("text/*", True),
        ("text/plain, application/json;q=0.5", True),
        ("text/plain;q=odd", False),
    ],
)
async def test_text_is_for_whoever_would_rather_have_it(
    client: Client, accept: str, is_text: bool
) -> None:
    for path in ("/livez", "/readyz"):
        response = await client.get(path, headers={"Accept": accept})
        assert response.status == 200
        assert response.content_type == ("text/plain" if is_text else "application/json")


async def test_text_names_the_state_and_with_verbose_the_checks(
    service: Service, client: Client
) -> None:
    async def away() -> tuple[bool, str]:
        return False, "does not answer"

    service.readiness.register("redis", away, required=False)
    headers = {"Accept": "text/plain"}
    assert await (await client.get("/livez", headers=headers)).text() == "alive\n"
    assert await (await client.get("/readyz", headers=headers)).text() == "degraded\n"
    state, *lines = (
        await (await client.get("/readyz?verbose", headers=headers)).text()
    ).splitlines()
    assert state == "degraded"
    assert re.fullmatch(r"\[\+\] database: answers \[\d+\.\d ms, 0\.\d s ago\]", lines[0])
    assert lines[1].startswith("[-] redis (not required): does not answer [")


async def test_a_standby_says_so(service: Service, client: Client) -> None:
    service.leading = False
    response = await client.get("/readyz")
    assert response.status == 503
    assert (await response.json())["status"] == "standby"


async def test_a_shutdown_fails_first_and_asks_nothing(service: Service, client: Client) -> None:
    service.readiness.shutting_down()
    response = await client.get("/readyz")
    assert response.status == 503
    assert (await response.json())["status"] == "shutting_down"
    assert service.asked == 0


@pytest.mark.parametrize("fault", ["hangs", "raises"])
async def test_a_check_that_hangs_or_raises_is_bounded_and_not_well(
    service: Service, client: Client, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(readiness, "CHECK_TIMEOUT_S", 0.05)

    async def hangs() -> tuple[bool, str]:
        await asyncio.Event().wait()
        return True, ""

    async def raises() -> tuple[bool, str]:
        raise ConnectionResetError("postgresql://user:secret@host")

    checks: dict[str, Callable[[], Awaitable[tuple[bool, str]]]] = {
        "hangs": hangs,
        "raises": raises,
    }
    service.readiness.register(fault, checks[fault])
    response = await client.get("/readyz")
    body = await response.json()
    assert response.status == 503
    assert body["checks"]["database"]["ok"]
    detail = {"hangs": "no answer within 0.05 s", "raises": "ConnectionResetError"}
    assert body["checks"][fault]["detail"] == detail[fault]


async def test_answers_are_kept_for_a_while_and_rounds_are_shared(
    service: Service, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "CACHE_S", 3600.0)
    responses = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
    assert {response.status for response in responses} == {200}
    assert service.asked == 1


def test_a_name_is_given_once(service: Service) -> None:
    with pytest.raises(ValueError, match="database already"):
        service.readiness.register("database", service.check_database)
