"""Times as text: nanoseconds UTC written for people and files."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=1 << 14)  # a burst repeats the same times thousands of times
def format_time(time_ns: int) -> str:
    """Write nanoseconds UTC as ISO 8601 with milliseconds, the rest cut off, and Z."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
