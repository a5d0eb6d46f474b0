"""What a process does of all that the service does: everything, or one part of it beside others."""

import socket
import uuid
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

    def new_holder(self) -> str:
        """Name a process of this role in the leases, so that no two are ever taken for one."""
        return f"{self}@{socket.gethostname()}-{uuid.uuid4()}"


def answers_gateways(holder: str) -> bool:
    """Tell whether who is so named in a lease hears other processes' gateways."""
    return not holder.startswith(f"{ServiceRole.ALL}@")
