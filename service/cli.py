"""The command `tapewatch`."""

import argparse
import json
import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from loguru import logger

from service.api.auth import MAX_ACCOUNT_ID, Role, issue_token
from service.app import serve
from service.database_commands import add_database_commands
from service.demo import open_demo
from service.instruments import Instruments
from service.load.command import run_load
from service.load.errors import CannotLoad
from service.load.options import add_options
from service.logs import open_logs
from service.parts.listening import CannotListen
from service.replay import Plan, Replay, ReplayInterrupted, plan_replay
from service.roles import ServiceRole
from service.scenario.fault import ScenarioError
from service.scenario.make import make_scenario
from service.servers import NoDatabase, open_servers
from service.settings import (
    ConfigurationError,
    FeedKind,
    Settings,
    load_settings,
)
from service.signing import SigningSecrets, make_secrets, read_secrets, required_secrets
from service.status import CannotAsk, ask_status, status_lines
from service.storage.database import apply_migrations
from service.storage.errors import Pooled, SchemaBehind, Unreachable
from service.storage.rights import CannotGrant
from service.storage.server_errors import EmbeddedError
from service.verify.fault import NoBook
from service.watch import CannotWatch, watch
from telemetry.logs import Logs

DEMO_ACCOUNT = 1
SPEEDS = {"max": None, "1": 1.0, "10": 10.0}
TOKEN_HOURS = 12.0
UNREAD = 128 + signal.SIGPIPE  # as of a program that does not look
FAULTS = (
    CannotAsk,
    CannotGrant,
    ConfigurationError,
    CannotListen,
    CannotLoad,
    CannotWatch,
    EmbeddedError,
    NoBook,
    NoDatabase,
    Pooled,
    ReplayInterrupted,
    ScenarioError,
    SchemaBehind,
    Unreachable,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors people can act on go to stderr.

    Those that nobody expected go to the log, which blanks the secrets in them.
    """
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        with open_logs(settings, sys.stderr) as logs:
            return _logged(options, settings, logs)
    except FAULTS as error:
        print(f"tapewatch: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _logged(options: argparse.Namespace, settings: Settings, logs: Logs) -> int:
    try:
        code = int(options.run(options, settings, logs))
        sys.stdout.flush()
        return code
    except FAULTS:
        raise
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_has_left():
            return UNREAD
        logger.opt(exception=error).critical("the command failed unexpectedly")
        return os.EX_SOFTWARE


def _reader_has_left() -> bool:
    """Tell whether who reads what is printed, as `head` does, has had enough; drop the rest."""
    reader = select.poll()
    reader.register(sys.stdout, 0)
    if not any(event & select.POLLERR for _, event in reader.poll(0)):
        return False
    # Else the interpreter tries again as it ends, and complains.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tapewatch", description="A broker back end at work.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="serve with embedded servers and demo data")
    run.set_defaults(run=_run)
    serve = commands.add_parser("serve", help="serve as configured by the environment")
    serve.add_argument(
        "--role",
        choices=[str(role) for role in ServiceRole],
        default=str(ServiceRole.ALL),
        help="what this process does beside others of the same settings; default: %(default)s",
    )
    serve.set_defaults(run=_serve)

    token = commands.add_parser("token", help="issue an access token")
    token.add_argument(
        "--account",
        type=_account,
        action="append",
        help=f"default: {DEMO_ACCOUNT}; repeated: a token for the stream of all of them",
    )
    token.add_argument("--role", choices=[str(role) for role in Role], default=str(Role.TRADER))
    token.add_argument("--hours", type=_hours, default=TOKEN_HOURS, help="default: %(default)g")
    token.set_defaults(run=_token)

    watch = commands.add_parser("watch", help="print an account's stream, one JSON line a message")
    watch.add_argument(
        "--account", type=_account, default=DEMO_ACCOUNT, help="default: %(default)s"
    )
    watch.add_argument(
        "--symbol", action="append", default=[], metavar="SYMBOL", help="quotes of it; repeatable"
    )
    watch.add_argument("--portfolio", action="store_true", help="what the account is worth, too")
    watch.set_defaults(run=_watch)

    status = commands.add_parser(
        "status", help="tell how the running service is; exit code 1: not well, 2: cannot ask"
    )
    status.set_defaults(run=_status)

    add_database_commands(commands)

    load = commands.add_parser(
        "load", help="put ticks, traders and listeners on a running service, and measure"
    )
    add_options(load)
    load.set_defaults(run=_load)

    replay = commands.add_parser("replay", help="run a scenario on recorded ticks")
    replay.add_argument("scenario", type=Path, metavar="SCENARIO", help="folder of CSV files")
    replay.add_argument("--ticks", type=Path, metavar="FILE", help="default: SCENARIO/ticks.csv")
    replay.add_argument("--speed", choices=SPEEDS, default="max", help="times as recorded")
    replay.add_argument("--deals", type=Path, metavar="OUT.csv", help="write every deal here")
    replay.set_defaults(run=_replay)

    scenario = commands.add_parser("scenario", help="work with scenario folders")
    scenario_commands = scenario.add_subparsers(required=True, metavar="COMMAND")
    make = scenario_commands.add_parser("make", help="write a scenario from a seed")
    make.add_argument("folder", type=Path, metavar="FOLDER")
    make.add_argument("--seed", type=int, default=1)
    make.add_argument("--accounts", type=int, default=2_000)
    make.add_argument("--groups", type=int, default=20)
    make.add_argument("--orders", type=int, default=20_000)
    make.add_argument("--symbols", type=int, default=30)
    make.add_argument("--ticks", type=int, default=20_000, help="0: none")
    make.add_argument("--ticks-file", type=Path, metavar="FILE", help="orders near these ticks")
    make.set_defaults(run=_make_scenario)
    return parser


def _account(text: str) -> int:
    if not 1 <= int(text) <= MAX_ACCOUNT_ID:
        raise argparse.ArgumentTypeError("an account id is a whole number from 1")
    return int(text)


def _hours(text: str) -> float:
    if not float(text) > 0:
        raise argparse.ArgumentTypeError("more than 0")
    return float(text)


def _run(options: argparse.Namespace, settings: Settings, logs: Logs) -> int:
    secrets = make_secrets(settings)
    for secret in filter(None, (secrets.current, secrets.previous)):
        logs.redaction.hide(secret)
    uvloop.run(_serve_demo(settings, secrets, logs))
    return 0


async def _serve_demo(settings: Settings, secrets: SigningSecrets, logs: Logs) -> None:
    async with open_servers(
        settings,
        settings.data_dir,
        database_port=settings.database_port,
        redis_port=settings.redis_port,
    ) as servers:
        await open_demo(servers.database_dsn)
        await serve(settings, ServiceRole.ALL, servers, secrets, logs)


def _serve(options: argparse.Namespace, settings: Settings, logs: Logs) -> int:
    role = ServiceRole(options.role)
    if role.feeds and settings.feed is FeedKind.SIMULATED:
        logger.warning("prices are made up: TAPEWATCH_FEED is `simulated`, which is for trying out")
    uvloop.run(_serve_migrated(settings, role, required_secrets(settings, role), logs))
    return 0


async def _serve_migrated(
    settings: Settings, role: ServiceRole, secrets: SigningSecrets | None, logs: Logs
) -> None:
    async with open_servers(settings, settings.data_dir) as servers:
        await apply_migrations(servers.database_dsn)
        await serve(settings, role, servers, secrets, logs)


def _token(options: argparse.Namespace, settings: Settings, logs: Logs) -> int:
    secret = read_secrets(settings).current
    if options.hours > settings.max_token_hours:
        raise ConfigurationError(
            f"a token lives for {settings.max_token_hours:g} hours at most: ask for fewer with "
            "--hours, or set TAPEWATCH_MAX_TOKEN_HOURS, for the service too"
        )
    first, *others = options.account or [DEMO_ACCOUNT]
    role, life_s = Role(options.role), options.hours * 3600
    try:
        print(issue_token(secret, first, role, life_s, others=others))
    except ValueError as error:
        print(f"tapewatch: {error}", file=sys.stderr)
        return 2
    return 0


def _watch(options: argparse.Namespace, settings: Settings, logs: Logs) -> int:
    secret = read_secrets(settings).current
    token = issue_token(secret, options.account, Role.TRADER, TOKEN_HOURS * 3600)
    watching = watch(
        settings.host,
        settings.port,
        token,
        options.symbol,
        sys.stdout,
        with_portfolio=options.portfolio,
    )
    uvloop.run(watching)
    return 0


def _status(options: argparse.Namespace, settings: Settings, logs: Logs) -> int:
    status = uvloop.run(ask_status((settings.ops_host, settings.ops_port)))
    print("\n".join(status_lines(status)))
    return 0 if status.is_well else 1


def _load(options: argparse.Namespace, settings: Settings, logs: Logs) -> int:
    return run_load(options, settings)


def _replay(options: argparse.Namespace, settings: Settings, logs: Logs) -> int:
    plan = plan_replay(options.scenario, options.ticks, SPEEDS[options.speed], options.deals)
    summary = uvloop.run(_run_replay(plan, settings))
    print(json.dumps(summary))
    return 0


async def _run_replay(plan: Plan, settings: Settings) -> dict[str, object]:
    async with open_servers(settings, settings.data_dir / "replay") as servers:
        return await Replay(plan, servers, Instruments()).run()


def _make_scenario(options: argparse.Namespace, settings: Settings, logs: Logs) -> int:
    try:
        make_scenario(
            options.folder,
            seed=options.seed,
            accounts=options.accounts,
            groups=options.groups,
            orders=options.orders,
            symbols=options.symbols,
            ticks=options.ticks,
            ticks_file=options.ticks_file,
        )
    except ValueError as error:
        print(f"tapewatch: {error}", file=sys.stderr)
        return 2
    return 0
