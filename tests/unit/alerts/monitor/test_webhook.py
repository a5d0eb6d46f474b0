"""The webhook takes notifications, hands them on, and serves runbooks; nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from alerts.monitor.notification import Notification
from alerts.monitor.webhook import Webhook
from tests.unit.alerts.monitor.test_notification import payload


@pytest.fixture
async def heard() -> list[Notification]:
    return []


@pytest.fixture
async def webhook(tmp_path: Path, heard: list[Notification]) -> AsyncIterator[Webhook]:
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "One.md").write_text("# Öne\n", encoding="utf-8")
    (tmp_path / "secret.md").write_text("no runbook")
    async with Webhook(heard.append, runbooks=tmp_path / "runbooks") as webhook:
        yield webhook


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


async def test_whoever_waits_gets_what_came_and_what_comes(
    webhook: Webhook, client: aiohttp.ClientSession, heard: list[Notification]
) -> None:
    def firing(each: Notification) -> bool:
        return each.status == "firing"

    async with client.post(f"{webhook.notify_url}/page", json=payload("resolved")) as answer:
        assert answer.status == 200
    waiting = asyncio.create_task(webhook.wait_for(firing, 30))
    async with client.post(f"{webhook.notify_url}/page", json=payload("firing")) as answer:
        assert answer.status == 200
    assert await waiting == await webhook.wait_for(firing, 30) == heard[1]
    assert [each.status for each in webhook.notifications] == ["resolved", "firing"]
    with pytest.raises(TimeoutError):
        await webhook.wait_for(lambda each: each.receiver == "nobody", 0)


async def test_what_is_no_notification_changes_nothing(
    webhook: Webhook, client: aiohttp.ClientSession, heard: list[Notification]
) -> None:
    async with client.post(f"{webhook.notify_url}/page", json={"alerts": []}) as answer:
        assert answer.status == 400
    assert not webhook.notifications
    assert not heard


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runbooks/One.md", 200),
        ("/runbooks/Two.md", 404),
        ("/runbooks/..%2Fsecret.md", 404),
        ("/runbooks/", 404),
    ],
)
async def test_runbooks_are_served_and_nothing_beside_them(
    webhook: Webhook, client: aiohttp.ClientSession, path: str, status: int
) -> None:
    async with client.get(webhook.url + path) as answer:
        assert answer.status == status
        if status == 200:
            assert (answer.content_type, await answer.text()) == ("text/plain", "# Öne\n")
