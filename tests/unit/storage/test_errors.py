"""Why a call of a store failed, as the metrics have it."""

import asyncpg
import pytest
from redis import exceptions as redis_errors

from service.storage.errors import Unreachable, failure_of
from telemetry.vocabulary import FAILURES


def caused_by(cause: Exception) -> Unreachable:
    error = Unreachable("away")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TimeoutError(), "timeout"),
        (asyncpg.QueryCanceledError("statement timeout"), "timeout"),
        (redis_errors.TimeoutError(), "timeout"),
        (ConnectionRefusedError(), "connection"),
        (asyncpg.AdminShutdownError("stopping"), "connection"),
        (asyncpg.ConnectionDoesNotExistError("gone"), "connection"),
        (asyncpg.InterfaceError("closed"), "connection"),
        (redis_errors.ConnectionError(), "connection"),
        (asyncpg.UniqueViolationError("twice"), "refused"),
        (redis_errors.ResponseError("NOSCRIPT"), "refused"),
        (caused_by(TimeoutError()), "timeout"),
        (caused_by(OSError()), "connection"),
        (Unreachable("away"), "other"),
        (ValueError(), "other"),
    ],
    ids=repr,
)
def test_a_failure_has_its_class(error: Exception, failure: str) -> None:
    assert failure_of(error) == failure
    assert failure in FAILURES
