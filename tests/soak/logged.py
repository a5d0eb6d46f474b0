"""What the service logs as an error while it is soaked: nothing may be, but of servers away."""

from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message

KEPT = 20
# How a loop says that the server it needs was stopped, which is what the soak does.
SERVER_AWAY = "Unreachable:"


class Errors:
    """Counts the messages of level ERROR and above between `start` and `stop`; keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []
        self._sink = 0

    def start(self) -> None:
        self._sink = logger.add(self._take, level="ERROR", format="{message}")

    def stop(self) -> None:
        logger.remove(self._sink)

    def _take(self, message: "Message") -> None:
        if SERVER_AWAY in message:
            return
        self.count += 1
        if len(self.first) < KEPT:
            self.first.append(str(message).strip())
