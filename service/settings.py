"""Settings from the environment: the only reader of it. All errors are reported together.

Every variable starts with `TAPEWATCH_`. A DSN replaces the embedded server of its kind; without
one PostgreSQL and Valkey run as children with their data under `data_dir`.
"""

import os
import secrets
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65535)]
MIN_SECRET_LENGTH = 32


class FeedKind(StrEnum):
    SIMULATED = "simulated"
    REPLAY = "replay"
    WEBSOCKET = "websocket"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class ConfigurationError(Exception):
    """The environment does not make a valid configuration; the message lists every fault."""


class Settings(BaseSettings):
    """The service's configuration.

    Attributes:
        database_url, redis_url: DSNs; None runs an embedded server on a port of its own.
        data_dir: where embedded servers, the signing secret and replays keep their files.
        jwt_secret: signs the tokens; at least 32 characters.
        lease_s: how long the shard stays with a process that died, seconds.
        feed_rate, feed_seed: of the simulated feed, quotes a second; `feed_file`, `feed_speed`
            (1: as recorded) and `feed_loop` of the replay feed; `feed_url` and
            `feed_connections` of the websocket feed.
        max_quote_age_s, max_quote_future_s: limits of the quote guard, seconds.
    """

    model_config = SettingsConfigDict(env_prefix="TAPEWATCH_", extra="ignore", frozen=True)

    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    database_port: Port = 54329
    redis_port: Port = 63799
    data_dir: Path = Path(".tapewatch")
    jwt_secret: SecretStr | None = None
    host: str = "127.0.0.1"
    port: Port = 8080
    ops_host: str = "127.0.0.1"
    ops_port: Port = 9464
    feed: FeedKind = FeedKind.SIMULATED
    feed_url: str | None = None
    feed_connections: int = Field(default=2, ge=1, le=32)
    feed_file: Path | None = None
    feed_speed: float | None = Field(default=1.0, gt=0)
    feed_loop: bool = False
    feed_rate: float = Field(default=50.0, gt=0, le=100_000)
    feed_seed: int = 1
    lease_s: float = Field(default=10.0, ge=1, le=300)
    max_quote_age_s: float = Field(default=10.0, gt=0)
    max_quote_future_s: float = Field(default=1.0, ge=0)
    log_level: LogLevel = LogLevel.INFO

    def check(self) -> list[str]:
        """Return what the fields contradict each other in."""
        faults = []
        if self.feed is FeedKind.WEBSOCKET and not self.feed_url:
            faults.append("TAPEWATCH_FEED_URL: the websocket feed needs an address")
        if self.feed is FeedKind.REPLAY and self.feed_file is None:
            faults.append("TAPEWATCH_FEED_FILE: the replay feed needs a tick file")
        secret = self.jwt_secret
        if secret is not None and len(secret.get_secret_value()) < MIN_SECRET_LENGTH:
            faults.append(
                f"TAPEWATCH_JWT_SECRET: must have at least {MIN_SECRET_LENGTH} characters"
            )
        return faults

    def required_to_serve(self) -> tuple[str, str, str]:
        """Return the signing secret, the database's and Redis's address.

        Raises:
            ConfigurationError: one of them is not set.
        """
        secret, database, redis = self.jwt_secret, self.database_url, self.redis_url
        if secret is None or database is None or redis is None:
            names = [
                f"TAPEWATCH_{name}: must be set to serve; `tapewatch run` makes its own"
                for name, value in (
                    ("JWT_SECRET", secret),
                    ("DATABASE_URL", database),
                    ("REDIS_URL", redis),
                )
                if value is None
            ]
            raise _fault(names)
        return secret.get_secret_value(), database.get_secret_value(), redis.get_secret_value()


def read_or_make_secret(settings: Settings) -> str:
    """Return the configured signing secret, or the one kept in `data_dir`, made on first use."""
    if settings.jwt_secret is not None:
        return settings.jwt_secret.get_secret_value()
    path = settings.data_dir / "jwt-secret"
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(MIN_SECRET_LENGTH))
    return path.read_text()


def _fault(faults: list[str]) -> ConfigurationError:
    return ConfigurationError("the configuration is not valid:\n  " + "\n  ".join(faults))


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        ConfigurationError: it has faults; all of them are named.
    """
    faults = []
    settings = None
    try:
        settings = Settings()
    except ValidationError as error:
        faults = [
            f"TAPEWATCH_{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors(include_input=False)
        ]
    if settings is not None:
        faults = settings.check()
    if settings is None or faults:
        raise _fault(faults)
    return settings
