"""Trading sessions: when in the week a symbol is traded, in its exchange's own time zone.

Written as `America/New_York: Sun 17:05-Mon 16:55, Mon 17:05-Tue 16:55`, or `Mon-Fri 08:00-16:30`
for the same hours on each of these days. A clock change moves the sessions with the zone: what is
lost or doubled is the hour of the change. A session may run over midnight and over the end of the
week.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from service.domain.instrument import SettingsError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTES_PER_DAY = 24 * 60
MINUTES_PER_WEEK = 7 * MINUTES_PER_DAY
_NS_PER_S = 1_000_000_000
_NEXT_LOOK_S = 60
_HALF_HOUR_S = 1800
_PERIOD = re.compile(
    r"(?P<open_day>\w{3})(?:-(?P<last_day>\w{3}))? +(?P<open>\d\d:\d\d)"
    r"-(?:(?P<close_day>\w{3}) +)?(?P<close>\d\d:\d\d)"
)


@dataclass(frozen=True, slots=True)
class Sessions:
    """When a symbol is traded.

    Attributes:
        zone: IANA name of the time zone.
        periods: (open, close) in minutes of the week from Monday 00:00 local time, open included,
            close not; 0 <= open < close, and a close beyond the end of the week runs into the next.
    """

    zone: str
    periods: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        _zone(self.zone)
        if not self.periods:
            raise SettingsError("sessions must name at least one period, as in Mon-Fri 08:00-16:30")
        for start, end in self.periods:
            if not (0 <= start < MINUTES_PER_WEEK and 0 < end - start <= MINUTES_PER_WEEK):
                raise SettingsError("a session must open within the week and last at most a week")

    def at(self, time: int) -> tuple[bool, int]:
        """Tell whether a session is open at `time` (ns UTC), and until when (ns UTC) that holds."""
        zone = _zone(self.zone)
        moment = datetime.fromtimestamp(time // _NS_PER_S, zone)
        minute = moment.weekday() * MINUTES_PER_DAY + moment.hour * 60 + moment.minute
        is_open = any(
            start <= at < end
            for start, end in self.periods
            for at in (minute, minute + MINUTES_PER_WEEK)
        )
        midnight = datetime(moment.year, moment.month, moment.day)
        week = midnight - timedelta(days=moment.weekday())
        until = min(
            int((week + timedelta(minutes=edge)).replace(tzinfo=zone).timestamp())
            for edge in self._edges()
            if edge > minute
        )
        now = time // _NS_PER_S
        # Around a clock change the wall shows an hour twice or not at all: the next edge may lie
        # behind, or come sooner than it seems. Clocks change on a half hour at the earliest.
        until = min(until, (now // _HALF_HOUR_S + 1) * _HALF_HOUR_S)
        return is_open, (until if until > now else now + _NEXT_LOOK_S) * _NS_PER_S

    def is_unbroken(self, since: int, until: int) -> bool:
        """Tell whether sessions are open from one time to another without a break, ns UTC."""
        since, until = min(since, until), max(since, until)
        while True:
            is_open, looked_until = self.at(since)
            if not is_open or looked_until > until:
                return is_open
            since = looked_until

    def _edges(self) -> Iterator[int]:
        for start, end in self.periods:
            # The week before: its last session may close in this one.
            for week in (-MINUTES_PER_WEEK, 0, MINUTES_PER_WEEK):
                yield start + week
                yield end + week

    def __str__(self) -> str:
        periods = ", ".join(
            f"{_write(start)}-{_write(end % MINUTES_PER_WEEK)}" for start, end in self.periods
        )
        return f"{self.zone}: {periods}"


def parse_sessions(text: str) -> Sessions:
    """Read sessions as `ZONE: Mon-Fri 08:00-16:30, Sun 17:05-Mon 16:55`.

    Raises:
        SettingsError: it cannot be read, or the zone is not known.
    """
    zone, found, rest = text.partition(":")
    if not found:
        raise SettingsError("sessions must be a time zone, a colon and periods")
    periods: list[tuple[int, int]] = []
    for part in rest.split(","):
        match = _PERIOD.fullmatch(part.strip())
        if match is None:
            raise SettingsError(
                f"cannot read the session {part.strip()!r}: write it as Mon-Fri 08:00-16:30 or as "
                "Sun 17:05-Mon 16:55"
            )
        periods += _periods(match)
    return Sessions(zone.strip(), tuple(sorted(periods)))


def _periods(match: "re.Match[str]") -> list[tuple[int, int]]:
    first = _day(match["open_day"])
    last = first if match["last_day"] is None else _day(match["last_day"])
    start, end = _minute(match["open"]), _minute(match["close"])
    if match["close_day"] is not None:
        if match["last_day"] is not None:
            raise SettingsError("a session is either Mon-Fri 08:00-16:30 or Sun 17:05-Mon 16:55")
        length = (_day(match["close_day"]) - first) * MINUTES_PER_DAY + end - start
        length = length % MINUTES_PER_WEEK or MINUTES_PER_WEEK
    else:
        length = end - start if end > start else end - start + MINUTES_PER_DAY
    days = range(first, (last if last >= first else last + 7) + 1)
    opens = [day % 7 * MINUTES_PER_DAY + start for day in days]
    return [(opening, opening + length) for opening in opens]


def _day(name: str) -> int:
    if name not in DAYS:
        raise SettingsError(f"unknown day {name}: use {', '.join(DAYS)}")
    return DAYS.index(name)


def _minute(text: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    if hours * 60 + minutes > MINUTES_PER_DAY or minutes > 59:
        raise SettingsError(f"{text} is not a time of the day")
    return hours * 60 + minutes


def _write(minute: int) -> str:
    day, rest = divmod(minute, MINUTES_PER_DAY)
    return f"{DAYS[day]} {rest // 60:02d}:{rest % 60:02d}"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)  # which keeps those it has read
    except (KeyError, OSError, ValueError) as error:
        raise SettingsError(f"unknown time zone {name!r}: use a name like Europe/London") from error
