"""Transactions that end their connection where they fail, or are cancelled.

To roll back, the driver waits for the server's word on the statement that was given up, for as long
as a statement may take once more. On a link that stands still there is none, and whoever wants to
try again elsewhere would wait for nothing: the server rolls back by itself what has lost its
connection.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from service.storage.connection import Connection

if TYPE_CHECKING:
    from asyncpg.transaction import Transaction


def whole(connection: Connection) -> AbstractAsyncContextManager[None]:
    """Do what is inside whole, or not at all."""
    return _ending(connection, connection.transaction())


def one_moment(connection: Connection) -> AbstractAsyncContextManager[None]:
    """Read the database as it is at one moment."""
    return _ending(connection, connection.transaction(isolation="repeatable_read", readonly=True))


@asynccontextmanager
async def _ending(connection: Connection, transaction: "Transaction") -> AsyncIterator[None]:
    try:
        await transaction.start()
        yield
        await transaction.commit()
    except BaseException:
        connection.terminate()
        raise
