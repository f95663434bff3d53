import json
import stat
from pathlib import Path

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from orchestration.lifecycle import dagster_home
from orchestration.settings import Settings

HARD_PASSWORD = "a'b\"c: {d} $e #f\\g@h/i"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "engines.json").write_text(json.dumps({"port_base": 28000}))
    (tmp_path / "secrets.json").write_text(json.dumps({"dagster": HARD_PASSWORD, "superuser": "x"}))
    return Settings(home=tmp_path, port_base=28000)


def test_a_password_with_every_kind_of_quote_survives(settings: Settings) -> None:
    written = yaml.safe_load(dagster_home.dagster_yaml(settings))
    assert written["storage"]["custom"]["config"]["postgres_db"]["password"] == HARD_PASSWORD


def test_dagster_accepts_the_configuration(settings: Settings) -> None:
    dagster_home.write(settings)
    config, _ = dagster_instance_config(str(settings.dagster_home))
    assert config["telemetry"]["enabled"] is False
    assert config["storage"]["custom"]["config"]["postgres_db"]["port"] == 28000
    assert config["run_monitoring"]["free_slots_after_run_end_seconds"] == 300
    assert config["concurrency"]["pools"]["default_limit"] == 1


def test_nobody_else_can_read_the_password(settings: Settings) -> None:
    dagster_home.write(settings)
    assert stat.S_IMODE((settings.dagster_home / "dagster.yaml").stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.dagster_home.stat().st_mode) == 0o700


def test_writing_again_changes_nothing(settings: Settings) -> None:
    assert dagster_home.write(settings)
    assert not dagster_home.write(settings)


def test_webserver_and_daemon_share_one_code_server_on_loopback(settings: Settings) -> None:
    ((location,),) = [yaml.safe_load(dagster_home.workspace_yaml(settings))["load_from"]]
    assert location["grpc_server"] == {"host": "127.0.0.1", "port": 28008, "location_name": "capstone"}
