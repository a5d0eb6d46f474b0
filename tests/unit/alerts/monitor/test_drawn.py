"""What a link to a dashboard chooses is what is asked of Prometheus."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from alerts.monitor.drawn import Drawn


async def _status(drawn: Drawn, path: str) -> int:
    application = web.Application()
    application.router.add_get("/d/{uid}", drawn.page)
    async with TestClient(TestServer(application)) as client, client.get(path) as answer:
        return answer.status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/d/tapewatch-none", 404),
        ("/d/..%2Fsecrets", 404),
        ("/d/tapewatch-loops?from=2000&to=1000", 400),
        ("/d/tapewatch-loops?from=0&to=9000000000000", 400),
        ("/d/tapewatch-loops", 503),
    ],
)
async def test_before_prometheus_is_there(path: str, status: int) -> None:
    assert await _status(Drawn(5.0), path) == status


async def test_without_prometheus() -> None:
    drawn = Drawn(5.0)
    drawn.prometheus_url = "http://127.0.0.1:1"
    assert await _status(drawn, "/d/tapewatch-loops?from=now-1h&to=now") == 502


async def test_what_is_chosen_is_asked_for() -> None:
    asked: list[str] = []

    async def query(request: web.Request) -> web.Response:
        asked.append(str((await request.post())["query"]))
        return web.json_response({"data": {"resultType": "vector", "result": []}})

    prometheus = web.Application()
    prometheus.router.add_post("/api/v1/query", query)
    prometheus.router.add_post("/api/v1/query_range", query)
    async with TestServer(prometheus) as server:
        drawn = Drawn(5.0)
        drawn.prometheus_url = str(server.make_url(""))
        chosen = "var-job=a&var-job=b%22&var-instance=127.0.0.1:9464&from=1000&to=61000"
        assert await _status(drawn, f"/d/tapewatch-loops?{chosen}") == 200
        assert all(r'job=~"a|b\"", instance=~"127\\.0\\.0\\.1:9464"' in each for each in asked)
        asked.clear()
        assert (
            await _status(drawn, "/d/tapewatch-loops?var-job=tapewatch&var-instance=$__all") == 200
        )
        assert all('job=~"tapewatch", instance=~".+"' in each for each in asked)
