"""The two assets of tenants with a place of their own, run by Dagster as a refresh runs them."""

from typing import Any

import dagster as dg
import pytest

from orchestration.cells.regions import CELLS
from orchestration.defs.ingest.landing import landing_asset, landing_key
from orchestration.defs.platform.schemas import tenants_asset, tenants_key
from orchestration.settings import get_settings


def test_a_run_brings_tenants_up_to_date_and_lands_them(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    models.tenant("schema")
    models.tenant("database")
    monkeypatch.setenv("CAPSTONE_HOME", str(models.settings.home))
    for cell in CELLS:
        monkeypatch.setenv(f"CAPSTONE_DSN_{cell.upper()}", getattr(models.settings, f"dsn_{cell}").get_secret_value())
    get_settings.cache_clear()
    try:
        result = dg.materialize([tenants_asset("na"), landing_asset("na")])
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert result.success
    told = {
        key: result.asset_materializations_for_node(key.to_python_identifier())[0].metadata
        for key in (tenants_key("na"), landing_key("na"))
    }
    up_to_date, landed = told.values()
    assert (up_to_date["tenants with schemas"].value, up_to_date["tenants with a database"].value) == (1, 1)
    assert (up_to_date["tenants behind"].value, landed["tenants landed"].value) == (0, 2)
