"""`capstone stream simulate`, `stats` and `rebuild-counters`, end to end on one cell."""

import json
from datetime import UTC, date, datetime
from threading import Event

import pytest
from typer.testing import CliRunner

from orchestration import stream_cli
from orchestration.loading.window import Window
from orchestration.realtime import simulation
from orchestration.realtime.simulation import SimulationError, simulate
from tests.integration.realtime.rebuilding.conftest import CELL, Shop


@pytest.fixture(autouse=True)
def _platform(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    today = datetime.now(UTC).date()
    monkeypatch.setattr(simulation, "read_window", lambda _: Window("small", date(today.year - 1, 12, 31)))
    monkeypatch.setattr(stream_cli, "settings_of_platform", lambda: shop.settings)


def capstone(*arguments: str) -> str:
    result = CliRunner().invoke(stream_cli.stream_app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_simulated_events_are_counted_and_told_of_a_tenant_and_rebuilt(shop: Shop) -> None:
    sent = simulate(CELL, 100.0, shop.settings, stop=Event(), seconds=2.0, seed=5)
    assert sent.events > 20
    shop.process()
    counted = [json.loads(capstone("stats", "--tenant", f"shop-{n}", "--minutes", "5", "--json")) for n in range(3)]
    assert sum(each["total"] for each in counted) == sent.events
    assert all(each["window_minutes"] == 5 for each in counted)
    # One in a hundred comes some seconds late, never more.
    assert sum(each["window_events"] for each in counted) == sent.events
    assert "ever" in capstone("stats", "--tenant", "shop-0")

    shop.client.delete(*shop.client.keys("rt:*"))
    told = json.loads(capstone("rebuild-counters", "--cell", CELL, "--dry-run", "--json"))
    assert (told["drift"], told["changed"]) == (sent.events, False)
    assert f"{sent.events} events" in capstone("rebuild-counters", "--cell", CELL)
    again = [json.loads(capstone("stats", "--tenant", f"shop-{n}", "--minutes", "5", "--json")) for n in range(3)]
    assert [each["total"] for each in again] == [each["total"] for each in counted]
    assert [each["window_users"] for each in again] == [each["window_users"] for each in counted]


def test_one_tenants_traffic_is_nobody_elses(shop: Shop) -> None:
    sent = simulate(CELL, 100.0, shop.settings, stop=Event(), seconds=0.5, tenant="shop-1")
    shop.process()
    owners = shop.rows("select tenant_id, count(*) from analytics.events where origin = 'stream' group by 1")
    assert owners == [(shop.tenants[1], sent.events)]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(shop: Shop, rate: float) -> None:
    with pytest.raises(SimulationError, match="above 0"):
        simulate(CELL, rate, shop.settings, stop=Event())
