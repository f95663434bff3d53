"""Nobody comes back by a reload: not who was erased or moved away, nor who has a place of its own."""

import pytest

from orchestration.loading.cdnow import CDNOW_TENANT, load_cdnow
from orchestration.loading.copy_loader import LoadError
from orchestration.loading.seeds import load_seeds
from orchestration.loading.synthetic_events import load_events_days
from orchestration.loading.synthetic_orders import load_orders_day
from orchestration.synthetic.merchants import merchants
from orchestration.tenancy import compaction, former_tenants
from orchestration.tenancy.erasing import erase_tenant, remains
from tests.integration.loading.conftest import LoadingCells


def test_seeds_events_and_orders_leave_out_who_is_not_here(
    seeded: LoadingCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "recycle_write_ahead_log", lambda *_: "left out")
    cells = seeded
    load_events_days("na", [cells.day(3)], settings=cells.settings, window=cells.window)
    load_orders_day("na", cells.day(3), settings=cells.settings, window=cells.window)
    gone, moved_out, *_ = merchants("na", cells.window.size, cells.settings.seed).ids
    own = "select count(*) from {} where tenant_id = %s"
    before = {
        name: cells.value("na", own.format(name), (moved_out,))
        for name in ("ecommerce.orders", "analytics.events", "saas.users")
    }
    assert all(before.values())
    persons = cells.value("na", "select count(*) from geo.users")
    certificate = erase_tenant(str(gone), settings=cells.settings)
    # As after a move to a schema of its own, of whose rows landing has brought only the orders.
    cells.execute("na", "update saas.tenants set model = 'schema' where id = %s", (moved_out,))
    cells.execute("na", "delete from saas.projects where tenant_id = %s", (moved_out,))

    report = load_seeds("na", settings=cells.settings, window=cells.window)
    load_events_days("na", [cells.day(3), cells.day(4)], settings=cells.settings, window=cells.window)
    for day in (3, 4):
        load_orders_day("na", cells.day(day), settings=cells.settings, window=cells.window)

    assert [each for each in remains(gone, "na", settings=cells.settings) if each.count] == []
    assert cells.value("na", "select count(*) from geo.users") == persons - certificate.deleted["persons"]
    assert report.rows > 0
    assert cells.value("na", own.format("saas.projects"), (moved_out,)) == 0
    after = {name: cells.value("na", own.format(name), (moved_out,)) for name in before}
    assert after["ecommerce.orders"] == before["ecommerce.orders"]
    assert after["saas.users"] == before["saas.users"]
    assert after["analytics.events"] > before["analytics.events"]


def test_the_purchase_log_of_a_tenant_that_is_gone_is_refused(seeded: LoadingCells) -> None:
    with seeded.connect("na", "superuser") as connection:
        former_tenants.record(connection, CDNOW_TENANT, "erased", former_tenants.new_salt())
    with pytest.raises(LoadError, match="'cdnow' was moved away or erased"):
        load_cdnow(settings=seeded.settings)
