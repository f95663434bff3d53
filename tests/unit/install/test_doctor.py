import shutil
import socket
from pathlib import Path

import pytest

from orchestration.engines import doctor
from orchestration.engines.doctor import Finding, diagnose
from orchestration.engines.install import system_servers
from orchestration.settings import Settings, get_settings

SECRET = "s3cr3t-w0rd"


def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.name: finding for finding in diagnose(settings)}


def test_what_is_not_in_order_comes_with_what_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(doctor, "installed_postgres", dict)
    monkeypatch.setattr(system_servers, "usable_postgres", lambda: None)
    monkeypatch.setattr(doctor, "MEMORY_GIB", 10**6)
    monkeypatch.setattr(doctor, "DISK_GIB", {"small": 10**6})
    monkeypatch.setattr(doctor, "SHARED_MEMORY_MIB", 10**9)
    found = findings(Settings(home=tmp_path / "home"))
    for name in ("PostgreSQL", "TimescaleDB", "Redis", "memory", "disk", "shared memory"):
        assert not found[name].ok
        assert found[name].mend
    assert all(not finding.mend for finding in found.values() if finding.ok)


def test_it_looks_and_leaves_no_trace(tmp_path: Path) -> None:
    diagnose(Settings(home=tmp_path / "home"))
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_named_and_its_password_is_not(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "home": tmp_path / "home",
            "dsn_na": f"postgresql://admin:{SECRET}@127.0.0.1:1/capstone",
            "dsn_eu": f"postgresql://admin:{SECRET}@[half/capstone",
            "redis_url_na": f"redis://:{SECRET}@127.0.0.1:1/0",
        }
    )
    found = findings(settings)
    for name in ("CAPSTONE_DSN_NA", "CAPSTONE_DSN_EU", "CAPSTONE_REDIS_URL_NA"):
        assert not found[name].ok
    assert SECRET not in repr(found)


def test_a_wrong_setting_is_a_finding_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSTONE_HOME", "relative")
    get_settings.cache_clear()
    try:
        found = {finding.name: finding for finding in diagnose()}
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert not found["settings"].ok
    assert "CAPSTONE_HOME" in found["settings"].detail


def test_a_port_that_somebody_else_holds_is_named(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        found = findings(Settings(home=tmp_path / "home", port_base=taken - 7))
    assert not found["ports"].ok
    assert f"{taken} of webserver is taken" in found["ports"].detail


def test_a_home_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = findings(Settings(home=tmp_path / "file" / "home"))
    assert not found["home"].ok
