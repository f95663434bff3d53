"""The counters' asset has the drift as its metric, and its check fails on any difference."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from orchestration.defs.ingest.counters import CHECK, counters_asset, counters_schedule
from orchestration.realtime import counter_keys, reconciliation
from tests.integration.realtime.rebuilding.conftest import CELL, Shop


@pytest.fixture(autouse=True)
def _settings_of_the_shop(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "get_settings", lambda: shop.settings)


def compared() -> tuple[dict[str, object], bool]:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([counters_asset(CELL)], instance=instance, raise_on_error=True)
    [event] = result.get_asset_materialization_events()
    [evaluation] = result.get_asset_check_evaluations()
    assert evaluation.check_name == CHECK
    return {name: value.value for name, value in event.materialization.metadata.items()}, evaluation.passed


def test_drift_is_a_metric_and_fails_the_check_until_it_is_rebuilt(shop: Shop) -> None:
    shop.send(*(shop.event(n % 3, user=n + 1, minutes_ago=3) for n in range(30)))
    shop.process()
    metadata, passed = compared()
    assert passed
    assert (metadata["drift (events)"], metadata["stored"], metadata["tenants"]) == (0, 30, 3)

    [minute] = {key.split(":")[3] for key in shop.counters() if key.startswith(f"rt:{shop.tenants[0]}:minute")}
    shop.client.hincrby(counter_keys.minute(shop.tenants[0], minute), "page_view", 3)
    metadata, passed = compared()
    assert not passed
    assert (metadata["drift (events)"], metadata["drift (fraction)"]) == (3, 0.1)
    named = [str(value) for value in metadata.values()]
    assert not [tenant for tenant in shop.tenants if any(str(tenant) in each for each in named)]


def test_the_schedule_starts_nothing_where_nothing_happened(shop: Shop) -> None:
    schedule = counters_schedule(CELL)

    def evaluated() -> object:
        with dg.DagsterInstance.ephemeral() as instance:
            data = schedule.evaluate_tick(dg.build_schedule_context(instance, datetime.now(UTC)))
        return data.run_requests

    assert not evaluated()
    shop.send(shop.event())
    shop.process()
    assert evaluated()
    shop.client.delete(*shop.client.keys("rt:*"))
    # Stored and not counted is what a comparison is for.
    assert evaluated()
