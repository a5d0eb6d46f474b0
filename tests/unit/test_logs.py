"""Log levels by area (R9.1)."""

import importlib.util
import json
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from loguru import logger
from pydantic import SecretStr

from service.logs import ORDER_MODULES, WEBSOCKET_MODULES, open_logs
from service.settings import Settings

if TYPE_CHECKING:
    import loguru

SOCKETS, ORDERS, REST = "service.api.stream", "service.api.calls", "service.app"


def written(**settings: Any) -> list[str]:
    """Return what is written of one line at each level from each area, as `level@module`."""
    out = StringIO()
    with open_logs(Settings.model_validate(settings), out):
        for module in (SOCKETS, ORDERS, REST):
            for level in ("DEBUG", "INFO", "ERROR"):
                logger.patch(partial(_move, module)).log(level, "said")
    return out.getvalue().splitlines()


def _move(module: str, record: "loguru.Record") -> None:
    record["name"] = module


def levels(lines: list[str], module: str) -> list[str]:
    return [line.split("|")[1].strip() for line in lines if module in line]


def test_orders_are_logged_at_debug_and_the_rest_at_info() -> None:
    lines = written()
    assert levels(lines, ORDERS) == ["DEBUG", "INFO", "ERROR"]
    assert levels(lines, SOCKETS) == levels(lines, REST) == ["INFO", "ERROR"]


def test_each_area_has_a_level_of_its_own() -> None:
    lines = written(log_level="ERROR", log_level_orders="INFO", log_level_websocket="DEBUG")
    assert levels(lines, SOCKETS) == ["DEBUG", "INFO", "ERROR"]
    assert levels(lines, ORDERS) == ["INFO", "ERROR"]
    assert levels(lines, REST) == ["ERROR"]


def test_lines_are_json_where_asked() -> None:
    lines = [json.loads(line) for line in written(log_format="json")]
    areas = {line["module"]: line["area"] for line in lines}
    assert areas == {SOCKETS: "websocket", ORDERS: "orders", REST: "service"}


def test_the_secrets_of_the_settings_are_in_no_line() -> None:
    settings = Settings(
        database_url=SecretStr("postgresql://tape:sesame%40open@db/x"),
        redis_url=SecretStr("redis://:cache/sesame@cache"),
        jwt_secret=SecretStr("a secret of the tests, long enough"),
    )
    out = StringIO()
    with open_logs(settings, out):
        logger.info("sesame@open, cache/sesame, a secret of the tests, long enough.")
    assert out.getvalue().endswith(" - ***, ***, ***.\n")


@pytest.mark.parametrize("module", [*WEBSOCKET_MODULES, *ORDER_MODULES])
def test_the_modules_of_an_area_exist(module: str) -> None:
    assert importlib.util.find_spec(module) is not None
