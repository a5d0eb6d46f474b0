"""Two database roles: one owns the schema, the other serves, and can do nothing else."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg
import pytest

from service.instruments import Instruments
from service.storage.database import Database, apply_migrations
from service.storage.embedded import EmbeddedPostgres
from service.storage.errors import SchemaBehind
from service.storage.outbox import Outbox
from service.storage.retention import Kept, Pruning
from service.storage.rights import RIGHTS, WITHOUT_RIGHTS, CannotGrant, grant
from service.verify.verification import verify
from tests.adversity.book import execute, fetch
from tests.integration.test_retention import AGE, DAY
from tests.integration.test_run import command
from tests.integration.test_verify import trade
from tests.service_process import Service, environment


class Roles(NamedTuple):
    """A database as its owner, and as the role that serves; `admin` is a superuser."""

    owner: str
    service: str
    admin: str

    @property
    def service_role(self) -> str:
        return str(urlsplit(self.service).username)


@pytest.fixture
async def roles(postgres_server: EmbeddedPostgres) -> AsyncIterator[Roles]:
    """Roles and a database of the test's own, made as the README says."""
    mark = secrets.token_hex(4)
    owner, service, database = f"owner_{mark}", f"service_{mark}", f"test_{mark}"
    admin = postgres_server.dsn_of("postgres")
    await execute(
        admin,
        f"CREATE ROLE {owner} LOGIN PASSWORD 'one'",
        f"CREATE ROLE {service} LOGIN PASSWORD 'two'",
        f"CREATE DATABASE {database} OWNER {owner}",
    )
    server = f"127.0.0.1:{postgres_server.port}/{database}"
    yield Roles(
        f"postgresql://{owner}:one@{server}",
        f"postgresql://{service}:two@{server}",
        postgres_server.dsn_of(database),
    )
    await execute(
        admin,
        f"DROP DATABASE {database} WITH (FORCE)",
        f"DROP ROLE {service}",
        f"DROP ROLE {owner}",
    )


def migrate(dsn: str, data_dir: Path, *options: str) -> tuple[int, str]:
    env = environment(data_dir, DATABASE_URL=dsn)
    result = command("migrate", *options, env=env)
    return result.returncode, result.stderr


async def test_a_shard_trades_with_the_rights_to_serve(roles: Roles, tmp_path: Path) -> None:
    """All that can happen to an order, swaps, settings, corrections and pruning."""
    with pytest.raises(SchemaBehind, match=r"lacks 0001_trading_core, .* as its owner"):
        await apply_migrations(roles.service)
    assert migrate(roles.owner, tmp_path, "--grant", roles.service_role)[0] == 0
    await trade(roles.service)
    database = Database(roles.service, Instruments())
    pruning = Pruning(database)
    await pruning.mark()
    await Outbox(database).mark_published(10)
    await execute(roles.owner, AGE.format(400))
    assert await pruning.prune(Kept.EVENTS, 7 * DAY, 100) == 10
    assert await pruning.prune(Kept.DEALS, 366 * DAY, 100) == 12
    await database.close()
    assert (await verify(roles.service)).faults == []


@pytest.mark.timeout(300)
async def test_the_whole_service_runs_with_the_rights_to_serve(
    roles: Roles, redis_url: str, tmp_path: Path
) -> None:
    assert migrate(roles.owner, tmp_path, "--grant", roles.service_role)[0] == 0
    log = tmp_path / "log"
    env = environment(tmp_path, DATABASE_URL=roles.service, REDIS_URL=redis_url, FEED_RATE=500)
    service = Service(env, log)
    try:
        await service.ready()
        for _ in range(2):
            result = command("status", env=env)
            assert result.returncode == 0, result.stdout
    finally:
        assert await service.stop() == 0
    assert await fetch(roles.owner, "SELECT count(*) > 0 FROM quotes") == [(True,)]
    assert "permission denied" not in service.log
    assert (await verify(roles.service)).faults == []


FORBIDDEN = (
    "DROP TABLE audit",
    "ALTER TABLE audit DISABLE TRIGGER ALL",
    "CREATE TABLE more ()",
    "TRUNCATE outbox",
    "UPDATE audit SET actor = 'somebody else'",
    "DELETE FROM audit",
    "UPDATE ledger SET amount = 0",
    "DELETE FROM ledger",
    "DELETE FROM deals",
    "UPDATE deals SET profit = 0",
    "DELETE FROM outbox",
    "DELETE FROM commands",
    "DELETE FROM accounts",
    "UPDATE accounts SET leverage = 1000",
    "UPDATE retention_marks SET made_at = '-infinity'",
    "UPDATE pruned SET until = 0",
    "DELETE FROM _pogo_migration",
    "SET ROLE {owner}",
)


async def test_who_serves_can_do_nothing_else(roles: Roles) -> None:
    await apply_migrations(roles.owner)
    connection = await asyncpg.connect(roles.owner)
    await grant(connection, roles.service_role)
    await connection.close()
    for statement in FORBIDDEN:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(roles.service, statement.format(owner=urlsplit(roles.owner).username))


async def test_of_every_table_it_is_said_who_may_do_what(postgres_dsn: str) -> None:
    await apply_migrations(postgres_dsn)
    tables = await fetch(
        postgres_dsn,
        "SELECT relname FROM pg_class WHERE relkind = 'r' "
        "AND relnamespace = 'public'::regnamespace",
    )
    assert {table for (table,) in tables} == RIGHTS.keys() | set(WITHOUT_RIGHTS)


async def test_rights_that_mean_nothing_are_not_granted(roles: Roles, tmp_path: Path) -> None:
    for role, told in (
        ("nobody_of_that_name", "there is no role"),
        (str(urlsplit(roles.owner).username), "owns tables"),
        (str(urlsplit(roles.admin).username), "is a superuser"),
    ):
        code, said = migrate(roles.owner, tmp_path, "--grant", role)
        assert (code, told in said) == (2, True), said
    connection = await asyncpg.connect(roles.service)
    with pytest.raises(CannotGrant, match="as the owner"):
        await grant(connection, roles.service_role)
    await connection.close()
