"""`capstone dashboard` goes to the cell where its tenant lives, and takes no other word for it."""

import json
from collections.abc import Iterator

import pytest

from orchestration.cells.postgres_cells import PostgresCells
from orchestration.cells.region_choice import RegionConflictError
from orchestration.cells.regions import UnknownCellError
from orchestration.cells.tenant_context import UnknownTenantError
from orchestration.dashboard_cli import dashboard
from orchestration.settings import get_settings
from tests.integration.cells.routing.conftest import Region


@pytest.fixture(autouse=True)
def _these_cells(region: Region, cells: PostgresCells) -> Iterator[None]:
    del cells  # makes sure that all cells run
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CAPSTONE_HOME", str(region.settings.home))
        environment.setenv("CAPSTONE_PORT_BASE", str(region.settings.port_base))
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


def test_a_tenant_is_found_in_whichever_cell_it_lives(capsys: pytest.CaptureFixture[str]) -> None:
    for cell in (None, "apac"):
        dashboard("events_per_hour", tenant="shop-apac", cell=cell, as_json=True)
        assert json.loads(capsys.readouterr().out)["name"] == "events_per_hour"


def test_another_cell_none_and_an_unknown_tenant_are_errors() -> None:
    with pytest.raises(RegionConflictError, match="'apac'"):
        dashboard("events_per_hour", tenant="shop-apac", cell="eu")
    for name in ("", "APAC", " apac"):
        with pytest.raises(UnknownCellError):
            dashboard("events_per_hour", tenant="shop-apac", cell=name)
    with pytest.raises(UnknownTenantError, match="no-shop"):
        dashboard("events_per_hour", tenant="no-shop")
