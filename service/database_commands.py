"""The commands on a database: `verify` checks it, `migrate` brings its schema up to date."""

import argparse
import json

import uvloop

from service.settings import Settings
from service.storage.database import apply_migrations, connect
from service.storage.rights import grant
from service.verify.place import open_book
from service.verify.verification import Report, verify
from telemetry.logs import Logs


def add_database_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add the commands to a parser's; each takes its options, the settings and the logs."""
    verify = commands.add_parser(
        "verify", help="check what is stored; exit code 1: it has faults, 2: cannot check"
    )
    verify.add_argument("--json", action="store_true", help="one JSON object")
    verify.set_defaults(run=_verify)

    migrate = commands.add_parser(
        "migrate", help="bring the schema up to date, as its owner (serve does so too, if it may)"
    )
    migrate.add_argument(
        "--grant", metavar="ROLE", help="the role that serves: give it its rights, and no others"
    )
    migrate.set_defaults(run=_migrate)


def _verify(options: argparse.Namespace, settings: Settings, logs: Logs) -> int:
    report = uvloop.run(_verified(settings))
    print(json.dumps(report.as_json()) if options.json else "\n".join(report.lines()))
    return 0 if report.is_clean else 1


async def _verified(settings: Settings) -> Report:
    async with open_book(settings) as dsn:
        return await verify(dsn)


def _migrate(options: argparse.Namespace, settings: Settings, logs: Logs) -> int:
    uvloop.run(_migrated(settings, options.grant))
    return 0


async def _migrated(settings: Settings, role: str | None) -> None:
    async with open_book(settings) as dsn:
        await apply_migrations(dsn)
        if role is None:
            return
        connection = await connect(dsn)
        try:
            await grant(connection, role)
        finally:
            await connection.close()
