"""What the lifecycle writes for people: the front page of the docs, alerts, connection URLs, states."""

import json
import stat
from pathlib import Path

import pytest

from orchestration.cells.regions import CELLS
from orchestration.defs.transform.documentation import docs_folder
from orchestration.lifecycle import docs_site
from orchestration.lifecycle.alerts import Alert, alerts_file, append
from orchestration.lifecycle.logins import LoginError, login_dsn
from orchestration.lifecycle.services import DAEMON, SERVICES, STREAMS, specs
from orchestration.lifecycle.status import GroupStatus, group_states
from orchestration.proofs.proof import data_docs
from orchestration.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "engines.json").write_text(json.dumps({"port_base": 28000}))
    secrets = {role: f"secret of {role}" for role in ("transformer", "app", "dagster", "reader", "superuser")}
    (tmp_path / "secrets.json").write_text(json.dumps(secrets))
    return Settings(home=tmp_path, port_base=28000)


def test_the_front_page_links_what_is_there_and_says_what_is_not(settings: Settings) -> None:
    page = settings.docs / docs_site.DBT_DOCS.format(cell="na")
    page.parent.mkdir(parents=True)
    page.write_text("docs")
    docs_site.write_front_page(settings)
    front = (settings.docs / "index.html").read_text()
    assert f'href="{docs_site.DBT_DOCS.format(cell="na")}"' in front
    assert front.count("not written yet") == 6
    assert "http://127.0.0.1:28007" in front


@pytest.mark.parametrize("cell", CELLS)
def test_the_front_page_links_where_the_assets_write(settings: Settings, cell: str) -> None:
    assert settings.docs / docs_site.DBT_DOCS.format(cell=cell) == docs_folder(cell, settings) / "index.html"  # type: ignore[arg-type]
    assert settings.docs / docs_site.DATA_DOCS.format(cell=cell) == data_docs(cell, settings).site / "index.html"  # type: ignore[arg-type]


def test_an_alert_is_one_line_that_keeps_only_the_errors_first(settings: Settings) -> None:
    append(Alert("2026-03-01T00:00:00+00:00", "r", "refresh_na", "na", "s", "broken\nKey (email)=(x) exists"), settings)
    append(Alert("2026-03-01T00:00:01+00:00", "q", "refresh_eu", "eu", None, "broken too"), settings)
    first, second = [json.loads(line) for line in alerts_file(settings).read_text().splitlines()]
    assert first["error"] == "broken"
    assert second["run_id"] == "q"
    assert stat.S_IMODE(alerts_file(settings).stat().st_mode) == 0o600


def test_a_login_is_found_by_cell_and_role(settings: Settings) -> None:
    assert login_dsn("eu", "app", settings) == "postgresql://app:secret%20of%20app@127.0.0.1:28002/capstone"
    assert login_dsn("na", None, settings).startswith("postgresql://transformer:")
    assert login_dsn("control", None, settings).startswith("postgresql://dagster:")
    assert login_dsn("control", "reader", settings).endswith("/global")
    assert login_dsn("na", "superuser", settings).startswith("postgresql://postgres:")


@pytest.mark.parametrize(
    ("cell", "role", "message"),
    [
        ("mars", None, "one of control, na, eu, apac"),
        ("na", "owner", "cannot log in"),
        ("na", "dagster", "one of superuser, migrator"),
        ("control", "app", "one of dagster, publisher, reader, superuser"),
    ],
)
def test_a_login_that_does_not_exist_names_those_that_do(
    settings: Settings, cell: str, role: str | None, message: str
) -> None:
    with pytest.raises(LoginError, match=message):
        login_dsn(cell, role, settings)


def test_every_service_listens_on_loopback_only_and_knows_its_home(settings: Settings) -> None:
    known = specs(settings)
    assert set(known) == set(SERVICES)
    for name, spec in known.items():
        assert spec.env["DAGSTER_HOME"] == str(settings.dagster_home)
        if name not in (DAEMON, *STREAMS):
            assert "127.0.0.1" in spec.argv
        assert "secret" not in " ".join(spec.argv)


def test_a_group_is_as_old_as_its_latest_asset() -> None:
    def node(group: str, *times: int) -> dict[str, object]:
        stamps = [{"timestamp": str(moment * 1000)} for moment in times]
        return {"groupName": group, "isMaterializable": True, "assetMaterializations": stamps}

    states = group_states([node("na_marts", 60), node("na_marts", 120), node("na_marts"), node("eu_marts")])
    assert states == {
        "na_marts": GroupStatus(3, 2, "1970-01-01T00:02:00+00:00"),
        "eu_marts": GroupStatus(1, 0, None),
    }
