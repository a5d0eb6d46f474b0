"""What can go wrong with the stores, told apart by what to do about it."""

import asyncpg
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

# SQLSTATE classes and codes after which the same work may succeed later: connection (08), resources
# (53), operator (57), serialization and deadlock (40), read-only standby (25006), a lock not given
# in time (55P03), input or output (58030).
_RETRY_CLASSES = ("08", "53", "57", "40")
_RETRY_CODES = ("25006", "55P03", "58030")


class Unreachable(Exception):
    """PostgreSQL cannot be reached or cannot work now: try again later."""


class SchemaBehind(Exception):
    """The schema is older than this version and not ours to change; the message says what to do."""


class Pooled(Exception):
    """A pooler answers in place of PostgreSQL; the message says what to do."""


class Diverged(Exception):
    """The database refused what memory has taken already: start over from what is stored."""


class Fenced(Exception):
    """The shard's lease has a newer epoch: this process must not write any more."""


def failure_of(error: BaseException) -> str:
    """Return the class of a failed call, as the metrics have it (`vocabulary.FAILURES`)."""
    if isinstance(error, Unreachable) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, TimeoutError | RedisTimeoutError | asyncpg.QueryCanceledError):
        return "timeout"
    if isinstance(error, asyncpg.PostgresError):
        return "connection" if (error.sqlstate or "").startswith(("08", "57")) else "refused"
    if isinstance(error, ResponseError):
        return "refused"
    if isinstance(
        error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | RedisError
    ):
        return "connection"
    return "other"


def is_conflict(error: BaseException) -> bool:
    """Tell whether the database refused a batch as its state is not the one it expects."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate == "TW001"


def is_transient(error: BaseException) -> bool:
    """Tell whether the database, rather than the data, is at fault."""
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        return code.startswith(_RETRY_CLASSES) or code in _RETRY_CODES
    # An InternalClientError is what the driver raises when it is asked between the server's last
    # words on an idle connection and its end.
    return isinstance(
        error,
        asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | TimeoutError | Unreachable,
    )
