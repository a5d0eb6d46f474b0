"""What a process does of all that the service does: everything, or one part of it beside others."""

from enum import StrEnum


class ServiceRole(StrEnum):
    """A process takes quotes in, trades, answers clients; `ALL` does all three by itself."""

    ALL = "all"
    FEED = "feed"
    ENGINE = "engine"
    GATEWAY = "gateway"

    @property
    def feeds(self) -> bool:
        return self in (ServiceRole.ALL, ServiceRole.FEED)

    @property
    def trades(self) -> bool:
        return self in (ServiceRole.ALL, ServiceRole.ENGINE)

    @property
    def answers(self) -> bool:
        return self in (ServiceRole.ALL, ServiceRole.GATEWAY)
