import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.defs import serving
from orchestration.defs.serving import WrongDagsterHomeError, records_runs, require_project_home
from orchestration.settings import PROJECT_ROOT, get_settings


@pytest.mark.parametrize(
    "argv",
    [
        ["/venv/bin/dagster", "api", "grpc", "-m", "orchestration.definitions"],
        ["/site-packages/dagster/__main__.py", "code-server", "start"],
        ["dagster", "asset", "materialize", "--select", "*"],
        ["dg", "launch", "--assets", "*"],
    ],
)
def test_a_process_that_serves_or_runs_the_code_records_runs(argv: list[str]) -> None:
    assert records_runs({}, argv)


@pytest.mark.parametrize(
    "argv", [["dg", "check", "defs"], ["dg", "list", "defs"], ["/venv/bin/pytest", "api", "grpc"], ["-c"], []]
)
def test_a_check_a_listing_or_a_test_records_nothing(argv: list[str]) -> None:
    assert not records_runs({}, argv)


def test_a_validation_records_nothing_whatever_loads_the_code_for_it() -> None:
    assert not records_runs({serving.VALIDATION_MARK: "1"}, ["dagster", "api", "grpc"])


@pytest.mark.parametrize("home", [None, "/somewhere/else"])
def test_serving_without_the_projects_home_says_what_to_export(
    monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    monkeypatch.setattr(sys, "argv", ["dagster", "api", "grpc"])
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    if home:
        monkeypatch.setenv("DAGSTER_HOME", home)
    with pytest.raises(WrongDagsterHomeError, match=f"export DAGSTER_HOME={get_settings().dagster_home}"):
        require_project_home()


def test_serving_with_the_projects_home_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dagster", "api", "grpc"])
    monkeypatch.setenv("DAGSTER_HOME", f"{get_settings().dagster_home}/")
    require_project_home()


def test_a_code_server_without_the_projects_home_does_not_start(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")}
    command = [sys.executable, "-m", "dagster", "api", "grpc", "-m", "orchestration.definitions"]
    server = subprocess.run(
        [*command, "--socket", str(tmp_path / "s")],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert server.returncode != 0
    assert "export DAGSTER_HOME=" in server.stdout + server.stderr
