"""The variables of a shell or a dbt process: one cell's, and no other's."""

import json
from pathlib import Path

import pytest

from orchestration.cells.endpoints import EndpointError, engines_file, secrets_file
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.shell_environment import dbt_environment, shell_environment
from orchestration.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    engines_file(settings).write_text(json.dumps({"port_base": 29000}))
    roles = ("superuser", "transformer", "app", "auditor")
    secrets_file(settings).write_text(json.dumps({role: f"secret of {role}" for role in roles}))
    return settings


@pytest.mark.parametrize("cell", CELLS)
def test_the_variables_are_of_one_cell_only(settings: Settings, cell: Cell) -> None:
    variables = dbt_environment(cell, settings)
    of_cells = {name.split("_")[1] for name in variables if name.startswith("CAPSTONE_") and name != "CAPSTONE_CELL"}
    assert of_cells == {cell.upper()}
    assert variables["CAPSTONE_CELL"] == cell


def test_dbt_gets_no_password_but_the_transformers(settings: Settings) -> None:
    values = " ".join(dbt_environment("eu", settings).values())
    assert "secret of transformer" in values
    assert values.count("secret of") == 1


def test_psql_connects_as_the_role_asked_for(settings: Settings) -> None:
    variables = shell_environment("na", "app", settings)
    assert (variables["PGUSER"], variables["PGPASSWORD"], variables["PGPORT"]) == ("app", "secret of app", "29001")


def test_an_encrypted_connection_stays_one(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, dsn_eu="postgresql://admin:p%40ss@db.example.com/shop?sslmode=require")
    secrets_file(settings).write_text(json.dumps({"transformer": "t"}))
    variables = shell_environment("eu", "superuser", settings)
    assert variables["CAPSTONE_EU_SSLMODE"] == variables["PGSSLMODE"] == "require"
    assert (variables["PGUSER"], variables["PGPASSWORD"], variables["PGDATABASE"]) == ("admin", "p@ss", "shop")


@pytest.mark.parametrize("role", ["dagster", "nobody"])
def test_a_role_that_no_cell_has_is_an_error(settings: Settings, role: str) -> None:
    with pytest.raises(EndpointError, match=role):
        shell_environment("na", role, settings)
