import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from orchestration import cli
from orchestration.lifecycle.runs import RunFailure
from orchestration.settings import get_settings


def capstone(*arguments: str) -> int:
    """Run the command in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    code = ended.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A home without a platform: the session's has one whenever other tests have started its servers."""
    monkeypatch.setattr(sys, "argv", ["capstone"])
    home = tmp_path / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CAPSTONE_HOME", str(home))
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


@pytest.mark.parametrize(
    "verb",
    [
        "up",
        "down",
        "status",
        "doctor",
        "dsn",
        "env",
        "materialize",
        "verify",
        "evidence",
        "funnel",
        "retention",
        "bench",
        "bench load",
        "bench tenancy",
    ],
)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert capstone(*verb.split(), "--help") == 0
    assert "Usage" in capsys.readouterr().out


def test_help_waits_for_no_database_driver_and_no_dagster() -> None:
    program = (
        "import sys\nfrom orchestration.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"dagster", "psycopg", "numpy", "polars", "pyarrow", "redis", "pydantic_settings", "great_expectations"}
    heavy |= {"jinja2", "orjson"}
    assert not heavy & set(run.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dsn", "mars"), "one of control, na, eu, apac"),
        (("dsn", "na", "--role", "owner"), "cannot log in"),
        (("env", "mars"), "unknown cell 'mars'"),
        (("env", "na", "--role", "root"), "no login 'root'"),
        (("up", "--scale", "huge"), "one of small, medium, large"),
        (("materialize", "--partition", "yesterday"), "YYYY-MM-DD"),
        (("materialize", "--from", "2026-03-02"), "belong together"),
        (("materialize", "--from", "2026-03-02", "--to", "2026-03-01"), "inverted"),
        (("materialize", "--partition", "2026-03-01", "--from", "2026-03-01", "--to", "2026-03-01"), "not both"),
        (("materialize", "--cell", "mars"), "unknown cell 'mars'"),
        (("materialize", "na/ingest/plans"), "capstone up"),
    ],
)
def test_a_mistake_ends_in_one_message_and_exit_code_1(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert capstone(*arguments) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


@pytest.mark.parametrize("arguments", [("verify", "everything"), ("verify", "all", "--cell", "mars")])
def test_verify_that_cannot_even_begin_is_2(arguments: tuple[str, ...]) -> None:
    assert capstone(*arguments) == 2


def test_any_exception_in_verify_is_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("not foreseen")

    monkeypatch.setattr("orchestration.proofs.verify.verify", broken)
    assert capstone("verify", "isolation") == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1, 2])
def test_verify_ends_with_the_proofs_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    outcome = SimpleNamespace(exit_code=code, as_json=lambda: {"exit_code": code, "proofs": []})
    monkeypatch.setattr("orchestration.proofs.verify.verify", lambda *_, **__: outcome)
    assert capstone("verify", "residency", "--cell", "eu", "--json") == code
    assert json.loads(capsys.readouterr().out) == {"exit_code": code, "proofs": []}


def test_settings_that_cannot_work_name_the_variable(tmp_path: Path) -> None:
    environment = {**os.environ, "CAPSTONE_PORT_BASE": "80", "CAPSTONE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "orchestration.cli", "status"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "CAPSTONE_PORT_BASE" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_failed_fill_names_run_step_and_error_and_leaves_the_platform_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill = SimpleNamespace(failures=[RunFailure("run-7", "na__ingest__events", "disk [full]")], finished=[])
    started = SimpleNamespace(fill=fill, streams_refused=("stream of cell 'na': `capstone stream recover --cell na`",))
    monkeypatch.setattr("orchestration.lifecycle.start.up", lambda *_, **__: started)
    (get_settings().home / "engines.json").write_text(json.dumps({"port_base": get_settings().port_base}))
    (get_settings().home / "secrets.json").write_text("{}")
    assert capstone("up") == 1
    told = capsys.readouterr().err
    assert "run run-7: step na__ingest__events failed: disk [full]" in told
    assert "The platform is running" in told
    assert "`capstone stream recover --cell na`" in told


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestration.lifecycle.start.up", interrupted)
    assert capstone("up") == 130
    assert "continues from here" in capsys.readouterr().err


def test_destroy_asks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(question: str, **_: object) -> None:
        asked.append(question)
        raise typer.Abort

    monkeypatch.setattr(typer, "confirm", refuse)
    assert capstone("down", "--destroy") == 1
    assert str(get_settings().home) in asked[0]
    assert get_settings().home.exists()


def test_status_of_a_home_without_a_platform_is_told_and_not_an_error_of_the_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert capstone("status", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] is False
    assert {cell["postgres"]["state"] for cell in told["cells"].values()} == {"stopped"}
    assert {service["state"] for service in told["services"].values()} == {"stopped"}
