"""The file of generated passwords."""

import json
import stat
from pathlib import Path

import pytest

from orchestration.cells import endpoints
from orchestration.engines import passwords
from orchestration.engines.errors import EngineError
from orchestration.settings import Settings


def read(home: Path) -> dict[str, str]:
    content: dict[str, str] = json.loads((home / "secrets.json").read_text())
    return content


def test_every_role_and_every_redis_gets_a_password_of_its_own(tmp_path: Path) -> None:
    passwords.ensure(Settings(home=tmp_path), servers_exist=False)

    content = read(tmp_path)
    assert set(content) == {*endpoints.ROLES, "redis_na", "redis_eu", "redis_apac"}
    assert len(set(content.values())) == len(content)
    assert min(map(len, content.values())) >= 32
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_what_is_there_never_changes_and_what_is_missing_is_added(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text('{"superuser": "kept"}')

    passwords.ensure(Settings(home=tmp_path), servers_exist=True)
    first = read(tmp_path)
    passwords.ensure(Settings(home=tmp_path), servers_exist=True)

    assert first["superuser"] == "kept"
    assert "app" in first
    assert read(tmp_path) == first


def test_a_file_that_others_may_read_is_closed(tmp_path: Path) -> None:
    passwords.ensure(Settings(home=tmp_path), servers_exist=False)
    (tmp_path / "secrets.json").chmod(0o644)

    passwords.ensure(Settings(home=tmp_path), servers_exist=True)

    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_a_lost_file_is_an_error_while_the_servers_still_know_the_passwords(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is lost but the servers' data exist"):
        passwords.ensure(Settings(home=tmp_path), servers_exist=True)

    assert not (tmp_path / "secrets.json").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"superuser": 1}'])
def test_a_damaged_file_is_an_error_and_stays_as_it_is(tmp_path: Path, content: str) -> None:
    (tmp_path / "secrets.json").write_text(content)

    with pytest.raises(EngineError, match="is damaged"):
        passwords.ensure(Settings(home=tmp_path), servers_exist=False)

    assert (tmp_path / "secrets.json").read_text() == content
