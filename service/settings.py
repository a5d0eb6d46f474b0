"""Settings from the environment: the only reader of it. All errors are reported together.

Every variable starts with `TAPEWATCH_`, but for those OpenTelemetry has named (`OTLP_VARIABLES`);
one that is empty counts as not set. A DSN replaces the
embedded server of its kind; without one PostgreSQL and Valkey run as children with their data under
`data_dir`.
"""

from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from telemetry.otlp import OtlpProtocol

Port = Annotated[int, Field(ge=1, le=65535)]
Interval = Annotated[float, Field(gt=0, le=86_400)]
Days = Annotated[int, Field(ge=0, le=36_500)]
Rate = Annotated[float, Field(gt=0, le=1_000_000)]
MIN_SECRET_LENGTH = 32
YEAR_DAYS = 365  # the least that the database itself keeps of deals and audit
DATABASE_SCHEMES = ("postgresql", "postgres")
REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
FEED_SCHEMES = ("ws", "wss")
OTLP_SCHEMES = ("http", "https")
OTLP_VARIABLES = {
    "otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "otlp_protocol": "OTEL_EXPORTER_OTLP_PROTOCOL",
}


class FeedKind(StrEnum):
    SIMULATED = "simulated"
    REPLAY = "replay"
    WEBSOCKET = "websocket"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogFormat(StrEnum):
    CONSOLE = "console"
    JSON = "json"


class ConfigurationError(Exception):
    """The environment does not make a valid configuration; the message lists every fault."""


class Settings(BaseSettings):
    """The service's configuration.

    Attributes:
        database_url, redis_url: DSNs; None runs an embedded server on a port of its own.
        database_connections: for reads, of the pool in this process.
        data_dir: where embedded servers, the signing secret and replays keep their files.
        jwt_secret: signs the tokens; at least 32 characters. `jwt_previous_secret`: signed them
            before, and is still believed. `max_token_hours`: a token that lives on for longer is
            refused.
        account_commands_per_s, account_reads_per_s, address_commands_per_s, address_reads_per_s:
            what an account and an address may ask.
        max_connections, address_connections: open at once, in all and from an address;
            `trusted_proxies`: networks, with commas, that
            are believed about where a request comes from.
        shards: into how many the accounts are divided, the same in all processes.
        lease_s: how long a shard stays with a process that died, seconds.
        feed_rate, feed_seed: of the simulated feed, quotes a second; `feed_file`, `feed_speed`
            (1: as recorded) and `feed_loop` of the replay feed; `feed_url` and
            `feed_connections` of the websocket feed.
        max_quote_age_s, max_quote_future_s: limits of the quote guard, seconds.
        portfolio_interval_s, positions_sweep_interval_s, pending_sweep_interval_s,
            cache_audit_interval_s: of the background loops, seconds;
            `positions_sweep_max_interval_s`: what that of the positions grows to by errors.
        keep_events_days, keep_answers_days, keep_deals_days, keep_audit_days: how long the outbox,
            the answers by idempotency key, deals and the audit are kept; 0: for ever.
        portfolio_push_interval_s: between two pushes of what accounts are worth, seconds.
        otlp_endpoint: base address of the collector of traces; None: nothing is traced.
            `otlp_protocol`: how it is spoken to. `trace_ratio`: share of traces sampled, 0 to 1.
        log_level: of all that has no level of its own, as client sockets and orders have.
        log_format: lines for people, or one JSON object a line.
    """

    model_config = SettingsConfigDict(
        env_prefix="TAPEWATCH_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
    )

    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    database_connections: int = Field(default=8, ge=1, le=100)
    database_port: Port = 54329
    redis_port: Port = 63799
    data_dir: Path = Path(".tapewatch")
    jwt_secret: SecretStr | None = None
    jwt_previous_secret: SecretStr | None = None
    max_token_hours: float = Field(default=24.0, gt=0, le=24 * 365)
    host: str = "127.0.0.1"
    port: Port = 8080
    ops_host: str = "127.0.0.1"
    ops_port: Port = 9464
    account_commands_per_s: Rate = 50.0
    account_reads_per_s: Rate = 50.0
    address_commands_per_s: Rate = 500.0
    address_reads_per_s: Rate = 1000.0
    max_connections: int = Field(default=12_000, ge=1, le=1_000_000)
    address_connections: int = Field(default=1_000, ge=1, le=1_000_000)
    trusted_proxies: str = "127.0.0.0/8,::1"
    feed: FeedKind = FeedKind.SIMULATED
    feed_url: str | None = Field(default=None, repr=False)  # it may hold a password, or a token
    feed_connections: int = Field(default=2, ge=1, le=32)
    feed_file: Path | None = None
    feed_speed: float | None = Field(default=1.0, gt=0)
    feed_loop: bool = False
    feed_rate: float = Field(default=50.0, gt=0, le=100_000)
    feed_seed: int = 1
    shards: int = Field(default=1, ge=1, le=64)
    lease_s: float = Field(default=10.0, ge=1, le=300)
    max_quote_age_s: float = Field(default=10.0, gt=0)
    max_quote_future_s: float = Field(default=1.0, ge=0)
    portfolio_interval_s: Interval = 60.0
    positions_sweep_interval_s: Interval = 10.0
    positions_sweep_max_interval_s: Interval = 30.0
    pending_sweep_interval_s: Interval = 5.0
    cache_audit_interval_s: Interval = 60.0
    keep_events_days: Days = 7
    keep_answers_days: Days = 30
    keep_deals_days: Days = 3_650
    keep_audit_days: Days = 3_650
    portfolio_push_interval_s: float = Field(default=0.1, ge=0.01, le=60)
    log_level: LogLevel = LogLevel.INFO
    log_level_websocket: LogLevel = LogLevel.INFO
    log_level_orders: LogLevel = LogLevel.DEBUG
    log_format: LogFormat = LogFormat.CONSOLE

    otlp_endpoint: str | None = Field(
        default=None, validation_alias=OTLP_VARIABLES["otlp_endpoint"], repr=False
    )
    otlp_protocol: str = Field(
        default=OtlpProtocol.GRPC.value, validation_alias=OTLP_VARIABLES["otlp_protocol"]
    )
    trace_ratio: float = Field(default=0.01, ge=0, le=1)

    def check(self) -> list[str]:
        """Return what is wrong with the fields beyond their types, one line each."""
        faults = [
            *_scheme_faults("DATABASE_URL", self.database_url, DATABASE_SCHEMES),
            *_scheme_faults("REDIS_URL", self.redis_url, REDIS_SCHEMES),
            *_scheme_faults("FEED_URL", self.feed_url, FEED_SCHEMES),
        ]
        if self.feed is FeedKind.WEBSOCKET and self.feed_url is None:
            faults.append("TAPEWATCH_FEED_URL: the websocket feed needs an address")
        if self.feed is FeedKind.REPLAY:
            if self.feed_file is None:
                faults.append("TAPEWATCH_FEED_FILE: the replay feed needs a tick file")
            elif not self.feed_file.is_file():
                faults.append(f"TAPEWATCH_FEED_FILE: there is no file {self.feed_file}")
        if self.positions_sweep_max_interval_s < self.positions_sweep_interval_s:
            faults.append(
                "TAPEWATCH_POSITIONS_SWEEP_MAX_INTERVAL_S: must be at least "
                "TAPEWATCH_POSITIONS_SWEEP_INTERVAL_S"
            )
        faults += [
            f"TAPEWATCH_{name.upper()}: must be 0, to keep for ever, or {YEAR_DAYS} at least"
            for name in ("keep_deals_days", "keep_audit_days")
            if 0 < getattr(self, name) < YEAR_DAYS
        ]
        if _scheme_faults("", self.otlp_endpoint, OTLP_SCHEMES):
            faults.append(f"{OTLP_VARIABLES['otlp_endpoint']}: must start with http:// or https://")
        if self.otlp_protocol not in list(OtlpProtocol):
            faults.append(f"{OTLP_VARIABLES['otlp_protocol']}: must be {' or '.join(OtlpProtocol)}")
        if not _are_networks(self.trusted_proxies):
            faults.append(
                "TAPEWATCH_TRUSTED_PROXIES: must be networks such as 10.0.0.0/8, with commas"
            )
        for name in ("jwt_secret", "jwt_previous_secret"):
            secret = getattr(self, name)
            if secret is not None and len(secret.get_secret_value()) < MIN_SECRET_LENGTH:
                faults.append(
                    f"TAPEWATCH_{name.upper()}: must have at least {MIN_SECRET_LENGTH} characters"
                )
        if self.jwt_previous_secret is not None and self.jwt_secret is None:
            faults.append("TAPEWATCH_JWT_PREVIOUS_SECRET: is only read with TAPEWATCH_JWT_SECRET")
        return faults


def _scheme_faults(name: str, url: str | SecretStr | None, schemes: tuple[str, ...]) -> list[str]:
    if url is None:
        return []
    text = url if isinstance(url, str) else url.get_secret_value()
    try:
        if urlsplit(text).scheme in schemes:
            return []
    except ValueError:
        pass  # not an address at all, which the rule below says as well
    # The address itself may hold a password.
    starts = " or ".join(f"{scheme}://" for scheme in schemes)
    return [f"TAPEWATCH_{name}: must start with {starts}"]


def _are_networks(text: str) -> bool:
    try:
        return all(ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError:
        return False


def invalid(faults: list[str]) -> ConfigurationError:
    """Return the error that names these faults."""
    return ConfigurationError("the configuration is not valid:\n  " + "\n  ".join(faults))


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        ConfigurationError: it has faults; all of them are named.
    """
    faults = []
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = {str(fault["loc"][0]): fault["msg"] for fault in error.errors(include_input=False)}
        faults = [f"TAPEWATCH_{name.upper()}: {rule}" for name, rule in wrong.items()]
        # The rest is checked as well, with the defaults in place of what is wrong.
        settings = Settings(**{name: Settings.model_fields[name].default for name in wrong})
    faults += settings.check()
    if faults:
        raise invalid(faults)
    return settings
