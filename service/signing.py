"""The secrets that tokens are signed with: the one in use, and the one before it.

A secret is replaced without turning anybody away: the old one is still believed until the last
token it signed has expired, and signs no more. Those that are not configured are kept in
`data_dir`: `jwt-secret`, and `jwt-secret.previous` where somebody put it.
"""

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from service.roles import ServiceRole
from service.settings import MIN_SECRET_LENGTH, ConfigurationError, Settings, invalid


@dataclass(frozen=True, slots=True)
class SigningSecrets:
    """The secret that signs, and the one before it, if it is still believed."""

    current: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)


def required_secrets(settings: Settings, role: ServiceRole) -> SigningSecrets | None:
    """Return the secrets to serve with; None: the role answers no clients and needs none.

    Nothing that serves for others is made up.

    Raises:
        ConfigurationError: the secret or the address of a server is not set.
    """
    required = ["jwt_secret"] if role.answers else []
    missing = [
        f"TAPEWATCH_{name.upper()}: must be set to serve; `tapewatch run` makes its own"
        for name in (*required, "database_url", "redis_url")
        if getattr(settings, name) is None
    ]
    if missing:
        raise invalid(missing)
    return read_secrets(settings) if role.answers else None


def make_secrets(settings: Settings) -> SigningSecrets:
    """Return the configured secrets, or those kept in `data_dir`, made on first use.

    Raises:
        ConfigurationError: they cannot be kept there.
    """
    if settings.jwt_secret is None and not _path(settings).exists():
        try:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
            _write_once(_path(settings), secrets.token_urlsafe(MIN_SECRET_LENGTH))
        except OSError as error:
            raise invalid(
                [
                    f"TAPEWATCH_DATA_DIR: cannot write to {settings.data_dir} ({error.strerror}): "
                    "choose a directory that this user can write to"
                ]
            ) from error
    return read_secrets(settings)


def read_secrets(settings: Settings) -> SigningSecrets:
    """Return the secrets of the service that runs with these settings.

    Raises:
        ConfigurationError: they were not made yet, or cannot be read.
    """
    if settings.jwt_secret is not None:
        previous = settings.jwt_previous_secret
        return SigningSecrets(
            settings.jwt_secret.get_secret_value(),
            None if previous is None else previous.get_secret_value(),
        )
    current = _read(_path(settings))
    if current is None:
        raise ConfigurationError(
            f"there is no signing secret in {settings.data_dir}: start the service first "
            "(`tapewatch run`, from the same directory), or set TAPEWATCH_JWT_SECRET"
        )
    return SigningSecrets(current, _read(_path(settings).with_suffix(".previous")))


def _path(settings: Settings) -> Path:
    return settings.data_dir / "jwt-secret"


def _read(path: Path) -> str | None:
    try:
        secret = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None
    if len(secret) < MIN_SECRET_LENGTH:
        raise ConfigurationError(
            f"the signing secret in {path} is too short: delete the file to have a new one made"
        )
    return secret


def _write_once(path: Path, text: str) -> None:
    """Write a file for its owner alone, whole or not at all; one that is there stays."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
