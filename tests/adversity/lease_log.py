"""A log that the database itself keeps of its leases, and what must hold in it.

Every change of a lease, a commit among them, leaves a line: who made it (by the name of the
connection), and the epoch and last decision before and after. Every event bears who stored it. So
who traded which shard when is told by no process, but by what PostgreSQL has let them do.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import asyncpg

_LOG = """
CREATE TABLE lease_log (
    line bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    by text NOT NULL DEFAULT current_setting('application_name'),
    shard integer NOT NULL,
    epoch_before bigint NOT NULL,
    epoch bigint NOT NULL,
    expired_before timestamptz NOT NULL,
    decided_before bigint NOT NULL,
    decided bigint NOT NULL
);
CREATE FUNCTION log_lease() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.epoch <> OLD.epoch OR NEW.last_batch <> OLD.last_batch THEN
        INSERT INTO lease_log (shard, epoch_before, epoch, expired_before, decided_before, decided)
        VALUES (NEW.shard, OLD.epoch, NEW.epoch, OLD.expires_at, OLD.last_decision,
            NEW.last_decision);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER log_lease AFTER UPDATE ON shard_leases FOR EACH ROW EXECUTE FUNCTION log_lease();
ALTER TABLE outbox ADD COLUMN stored_by text NOT NULL DEFAULT current_setting('application_name');
"""
LINES = """
SELECT line, by, shard, epoch_before, epoch, expired_before <= at, decided_before, decided
FROM lease_log ORDER BY line
"""
STORED = "SELECT event_id, account_id, stored_by FROM outbox ORDER BY event_id"


class LeaseLine(NamedTuple):
    """One change of a lease; `was_over`: the lease had run out, or been given up."""

    line: int
    by: str
    shard: int
    epoch_before: int
    epoch: int
    was_over: bool
    decided_before: int
    decided: int


class StoredEvent(NamedTuple):
    """Who stored an event."""

    event_id: int
    account_id: int
    by: str


async def keep_lease_log(dsn: str) -> None:
    """Have a migrated database keep the log from now on."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_LOG)
    finally:
        await connection.close()


def take_overs(lines: Iterable[LeaseLine]) -> int:
    """Return how often a shard was taken."""
    return sum(line.epoch > line.epoch_before for line in lines)


def lease_faults(
    lines: Iterable[LeaseLine], stored: Iterable[StoredEvent], shards: int
) -> list[str]:
    """Return where a shard was traded by two, or written to by who had not got it.

    `lines` in the order of the log, `stored` by event.
    """
    faults: list[str] = []
    holders: dict[int, tuple[int, str]] = {}
    decided: dict[int, int] = {}
    # What was stored of a shard, as pieces: up to which decision, by whom.
    pieces: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for line in lines:
        shard, where = line.shard, f"shard {line.shard}, line {line.line} of the lease log"
        epoch, by = holders.get(shard, (line.epoch_before, ""))
        if line.epoch_before != epoch or line.epoch < epoch:
            faults.append(f"{where}: epoch {line.epoch_before} to {line.epoch} after {epoch}")
        if line.epoch > line.epoch_before:
            if not line.was_over and by != line.by:
                faults.append(f"{where}: {line.by} took it from {by} before its lease was over")
        elif by and by != line.by:
            faults.append(f"{where}: {line.by} wrote under epoch {epoch} of {by}")
        holders[shard] = line.epoch, line.by
        if line.decided_before != decided.get(shard, line.decided_before) or (
            line.decided < line.decided_before
        ):
            faults.append(f"{where}: decisions go on at {line.decided_before}")
        if line.decided > line.decided_before:
            pieces[shard].append((line.decided, line.by))
        decided[shard] = line.decided
    return faults + _unaccounted(pieces, stored, shards)


def _unaccounted(
    pieces: Mapping[int, list[tuple[int, str]]], stored: Iterable[StoredEvent], shards: int
) -> list[str]:
    """Return the events that were not stored by the commit that advanced the lease past them."""
    faults: list[str] = []
    places: dict[int, int] = defaultdict(int)
    for event in stored:
        shard = event.account_id % shards
        mine = pieces.get(shard, [])
        while places[shard] < len(mine) and mine[places[shard]][0] < event.event_id:
            places[shard] += 1
        if event.event_id % shards != shard:
            faults.append(f"event {event.event_id} is of shard {shard}, and has another's id")
        elif places[shard] == len(mine):
            faults.append(f"event {event.event_id} of shard {shard} is beyond its last decision")
        elif mine[places[shard]][1] != event.by:
            by = mine[places[shard]][1]
            faults.append(f"event {event.event_id} was stored by {event.by}, its commit by {by}")
    return faults
