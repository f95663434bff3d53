import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from orchestration.engines.install import python_environment
from orchestration.engines.install.progress import StepLog
from orchestration.settings import PROJECT_ROOT


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose .venv is complete, with a uv that always finds everything in order."""
    (tmp_path / "uv.lock").write_text("lock")
    (tmp_path / "pyproject.toml").write_text("project")
    environment = tmp_path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    uv = environment / "bin" / "uv"
    uv.write_text(
        f"#!/bin/sh\n[ \"$1\" = --version ] && echo 'uv {python_environment.pinned_uv()}'\n"
        'echo "$@" >> "$0.calls"\nexit 0\n'
    )
    uv.chmod(0o755)
    monkeypatch.setattr(python_environment, "SYSTEM_CERTIFICATES", tmp_path / "none")
    synchronize(tmp_path)
    add_package(environment, "dagster", ["dagster/__init__.py", "dagster/core.py"])
    assert python_environment.plan(tmp_path) == []
    return tmp_path


def site_packages(environment: Path) -> Path:
    return next(environment.glob("lib/*/site-packages"))


def add_package(environment: Path, name: str, files: list[str]) -> None:
    site = site_packages(environment)
    information = site / f"{name}-1.0.dist-info"
    information.mkdir()
    for file in files:
        (site / file).parent.mkdir(exist_ok=True)
        (site / file).write_text("")
    record = [f"{file},sha256=x,0" for file in files] + [f"{name}/__pycache__/x.pyc,,", f"{information.name}/RECORD,,"]
    (information / "RECORD").write_text("\n".join(record) + "\n")


def synchronize(root: Path) -> None:
    log = root / "step.log"
    log.write_text("")
    for work in python_environment.plan(root):
        work.run(StepLog(work.title, log, sys.stdout))


def titles(root: Path) -> list[str]:
    return [work.title for work in python_environment.plan(root)]


def uv_calls(root: Path) -> list[str]:
    return (root / ".venv/bin/uv.calls").read_text().splitlines()


def test_a_checkout_without_an_environment_gets_all_three_steps(tmp_path: Path) -> None:
    assert [title.split()[0:3] for title in titles(tmp_path)] == [
        ["Create", "the", "virtual"],
        ["Install", "uv", python_environment.pinned_uv()],
        ["Install", "the", "Python"],
    ]


@pytest.mark.parametrize("name", ["uv.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_is_synchronized_once(checkout: Path, name: str) -> None:
    (checkout / name).write_text("changed")
    assert titles(checkout) == ["Install the Python packages of uv.lock"]
    synchronize(checkout)
    assert titles(checkout) == []


def test_a_package_that_lost_a_file_is_installed_anew_and_no_other(checkout: Path) -> None:
    add_package(checkout / ".venv", "polars", ["polars/__init__.py"])
    lost = site_packages(checkout / ".venv") / "dagster" / "core.py"
    lost.unlink()
    (work,) = python_environment.plan(checkout)
    lost.write_text("")
    log = checkout / "step.log"
    work.run(StepLog(work.title, log, sys.stdout))
    assert uv_calls(checkout)[-1] == "sync --frozen --reinstall-package dagster"


def test_after_a_killed_synchronization_the_environment_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv" / python_environment.RECORD).unlink()
    assert "an installation in it was interrupted" in titles(checkout)[0]
    assert len(titles(checkout)) == 3


def test_the_record_is_gone_while_packages_are_installed(checkout: Path) -> None:
    uv = checkout / ".venv/bin/uv"
    uv.write_text(uv.read_text().replace("exit 0", f'test ! -e "{checkout}/.venv/{python_environment.RECORD}"'))
    (checkout / "uv.lock").write_text("changed")
    synchronize(checkout)


def test_an_environment_of_another_place_or_tool_is_made_anew(checkout: Path) -> None:
    record = checkout / ".venv" / python_environment.RECORD
    record.write_text(json.dumps({**json.loads(record.read_text()), "root": "/elsewhere"}))
    assert "it was made for /elsewhere" in titles(checkout)[0]
    configuration = checkout / ".venv/pyvenv.cfg"
    configuration.write_text(f"{configuration.read_text()}uv = 0.1\n")
    assert "it was made by another tool" in titles(checkout)[0]


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv/bin/python").unlink()
    assert "its Python is gone" in titles(checkout)[0]


def test_an_environment_without_uv_and_without_pip_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv/bin/uv").unlink()
    assert "it has no pip" in titles(checkout)[0]


def test_the_versions_of_python_are_those_of_the_project() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())
    oldest, first_unsupported = python_environment.OLDEST_PYTHON, python_environment.FIRST_UNSUPPORTED_PYTHON
    wanted = f">={'.'.join(map(str, oldest))},<{'.'.join(map(str, first_unsupported))}"
    assert project["project"]["requires-python"] == wanted
    shell = (PROJECT_ROOT / "orchestration/engines/install/run.sh").read_text()
    assert f"{oldest} <= sys.version_info[:2] < {first_unsupported}" in shell


def test_every_locked_package_has_a_wheel_so_that_nothing_is_compiled() -> None:
    lock = tomllib.loads((PROJECT_ROOT / "uv.lock").read_text())
    assert [package["name"] for package in lock["package"] if not package.get("wheels")] == ["capstone"]
