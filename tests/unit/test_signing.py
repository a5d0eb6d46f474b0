"""The signing secrets: configured, or made and kept, and replaced one at a time."""

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.roles import ServiceRole
from service.settings import ConfigurationError, Settings
from service.signing import SigningSecrets, make_secrets, read_secrets, required_secrets


def test_serving_needs_a_secret_and_servers() -> None:
    given = {"jwt_secret": "s" * 32, "database_url": "postgresql://db/x"}
    with pytest.raises(ConfigurationError) as caught:
        required_secrets(Settings.model_validate(given), ServiceRole.ALL)
    assert "TAPEWATCH_REDIS_URL: must be set" in str(caught.value)
    assert "TAPEWATCH_JWT_SECRET" not in str(caught.value)
    given["redis_url"] = "redis://cache"
    settings = Settings.model_validate(given)
    assert required_secrets(settings, ServiceRole.GATEWAY) == SigningSecrets("s" * 32)


@pytest.mark.parametrize("role", [ServiceRole.FEED, ServiceRole.ENGINE])
def test_who_answers_no_clients_needs_no_secret_but_servers(role: ServiceRole) -> None:
    given = {"database_url": "postgresql://db/x", "redis_url": "redis://cache"}
    assert required_secrets(Settings.model_validate(given), role) is None
    with pytest.raises(ConfigurationError) as caught:
        required_secrets(Settings(), role)
    assert "TAPEWATCH_DATABASE_URL: must be set" in str(caught.value)
    assert "TAPEWATCH_REDIS_URL: must be set" in str(caught.value)
    assert "TAPEWATCH_JWT_SECRET" not in str(caught.value)


def test_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with pytest.raises(ConfigurationError, match="start the service first"):
        read_secrets(settings)
    secret = make_secrets(settings).current
    assert len(secret) >= 32
    assert make_secrets(settings) == read_secrets(settings) == SigningSecrets(secret)
    assert [path.name for path in settings.data_dir.iterdir()] == ["jwt-secret"]
    assert stat.S_IMODE((settings.data_dir / "jwt-secret").stat().st_mode) == 0o600


def test_a_secret_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jwt-secret").write_text("short")
    with pytest.raises(ConfigurationError, match="delete the file"):
        make_secrets(Settings(data_dir=tmp_path))


def test_a_data_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="TAPEWATCH_DATA_DIR: cannot write to"):
        make_secrets(Settings(data_dir=tmp_path / "file" / "data"))


def test_the_secret_before_is_believed_while_it_is_there(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    old = make_secrets(settings).current
    (tmp_path / "jwt-secret").rename(tmp_path / "jwt-secret.previous")
    both = make_secrets(settings)
    assert both.previous == old != both.current
    assert read_secrets(settings) == both
    (tmp_path / "jwt-secret.previous").unlink()
    assert make_secrets(settings) == SigningSecrets(both.current)
    given = Settings(
        data_dir=tmp_path,
        jwt_secret=SecretStr("n" * 32),
        jwt_previous_secret=SecretStr("o" * 32),
    )
    assert read_secrets(given) == SigningSecrets("n" * 32, "o" * 32)


def test_no_secret_shows() -> None:
    assert "nn" not in repr(SigningSecrets("n" * 32, "nn" * 16))
