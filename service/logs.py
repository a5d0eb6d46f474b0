"""Log lines: written from a level on, which some areas of the service have of their own (R9.1)."""

from typing import TextIO

from loguru import logger

from service.settings import Settings

WEBSOCKET_MODULES = (
    *("service.api.stream", "service.api.socket", "service.api.fanout", "service.api.frames"),
    *("service.api.conversation", "service.api.watched_accounts"),
)
ORDER_MODULES = ("service.loops.trading", "service.loops.order_log", "service.api.calls")


def write_logs(settings: Settings, out: TextIO) -> None:
    """Write what is logged from now on to `out`, and nowhere else."""
    logger.remove()
    levels = log_levels(settings)
    lowest = min(levels.values(), key=lambda level: logger.level(level).no)
    of_module: dict[str | None, str | int] = dict(levels.items())
    # Never the values of variables: some are secrets.
    logger.add(out, level=lowest, filter=of_module, diagnose=False)


def log_levels(settings: Settings) -> dict[str, str]:
    """Return the level of each module that has its own; that of the others is under ''."""
    return {
        "": settings.log_level,
        **dict.fromkeys(WEBSOCKET_MODULES, settings.log_level_websocket),
        **dict.fromkeys(ORDER_MODULES, settings.log_level_orders),
    }
