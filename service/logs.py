"""What the service logs: areas of modules with levels of their own, and the secrets it knows."""

from typing import TextIO

from service.settings import LogFormat, Settings
from telemetry.log_line import console_text, json_text
from telemetry.logs import Area, Logs

WEBSOCKET_MODULES = (
    *("service.api.stream", "service.api.socket", "service.api.fanout", "service.api.frames"),
    *("service.api.conversation", "service.api.watched_accounts"),
)
ORDER_MODULES = ("service.loops.trading", "service.loops.order_log", "service.api.calls")
_RENDER = {LogFormat.CONSOLE: console_text, LogFormat.JSON: json_text}


def open_logs(settings: Settings, out: TextIO) -> Logs:
    """Write what is logged from now on to `out`, and nowhere else, until it is closed."""
    websocket = Area("websocket", settings.log_level_websocket)
    orders = Area("orders", settings.log_level_orders)
    areas = dict.fromkeys(WEBSOCKET_MODULES, websocket) | dict.fromkeys(ORDER_MODULES, orders)
    other = Area("service", settings.log_level)
    logs = Logs(out, areas, other, _RENDER[settings.log_format])
    for address in (settings.database_url, settings.redis_url):
        if address is not None:
            _hide_password(logs, address.get_secret_value())
    for text in (settings.feed_url, settings.otlp_endpoint):
        if text is not None:
            _hide_password(logs, text)
    for secret in (settings.jwt_secret, settings.jwt_previous_secret):
        if secret is not None:
            logs.redaction.hide(secret.get_secret_value())
    return logs


def _hide_password(logs: Logs, address: str) -> None:
    # By hand: a password with characters that should have been percent-encoded is hidden as well.
    user = address.partition("://")[2].rpartition("@")[0]
    logs.redaction.hide(user.partition(":")[2])
