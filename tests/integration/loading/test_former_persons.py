"""No load brings an erased person back, and none takes away or changes what the law keeps of their orders."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from orchestration.loading.cdnow import CDNOW_TENANT, load_cdnow
from orchestration.loading.event_import import import_events
from orchestration.loading.seeds import load_seeds
from orchestration.loading.synthetic_events import load_events_days
from orchestration.loading.synthetic_orders import load_orders_day
from orchestration.persons.erasing import erase_person
from orchestration.realtime.event import decode
from orchestration.realtime.event_store import EventStore, Taken
from orchestration.settings import PROJECT_ROOT
from orchestration.tenancy import compaction
from tests.integration.loading.conftest import LoadingCells
from tests.integration.persons.people import event

RECONCILIATION = PROJECT_ROOT / "orchestration" / "defs" / "ingest" / "orders_reconciliation.sql"


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what only the bytes of files rest on."""
    monkeypatch.setattr(compaction, "recycle_write_ahead_log", lambda *_: "left out")
    monkeypatch.setattr(compaction, "REWRITTEN_BYTES", 0)


def load_day(cells: LoadingCells, index: int) -> None:
    load_events_days("na", [cells.day(index)], settings=cells.settings, window=cells.window)
    load_orders_day("na", cells.day(index), settings=cells.settings, window=cells.window)


def test_seeds_events_and_orders_leave_an_erased_shopper_out_and_keep_their_orders(seeded: LoadingCells) -> None:
    cells = seeded
    load_day(cells, 3)
    person, tenant, user = cells.rows(
        "na",
        "select u.person_id, o.tenant_id, o.user_id from ecommerce.orders as o "
        "join ecommerce.users as u on u.tenant_id = o.tenant_id and u.id = o.user_id "
        "where o.origin = 'synthetic' order by o.id limit 1",
    )[0]
    orders = "select count(*), sum(total_amount), count(distinct user_id) from ecommerce.orders where tenant_id = %s"
    payments = "select count(*), sum(amount) from ecommerce.payments where tenant_id = %s"
    before = cells.rows("na", orders, (tenant,)), cells.rows("na", payments, (tenant,))
    people = cells.value("na", "select count(*) from geo.users")
    erase_person(person, settings=cells.settings)

    load_seeds("na", settings=cells.settings, window=cells.window)
    load_day(cells, 3)
    load_events_days("na", [cells.day(4)], settings=cells.settings, window=cells.window)

    assert (cells.rows("na", orders, (tenant,)), cells.rows("na", payments, (tenant,))) == before
    columns = {"ecommerce.users": "id", "ecommerce.addresses": "user_id", "ecommerce.orders": "user_id"}
    for table, column in columns.items():
        query = f"select count(*) from {table} where tenant_id = %s and {column} = %s"
        assert cells.value("na", query, (tenant, user)) == 0, table
    of_user = "select count(*) from analytics.events where tenant_id = %s and user_id = %s"
    assert cells.value("na", of_user, (tenant, user)) == 0
    # The erased person is gone, and the record that is nobody's has come.
    assert cells.value("na", "select count(*) from geo.users") == people
    ((_, _, without_order, without_purchase, differing, *_),) = cells.rows(
        "na",
        RECONCILIATION.read_text().replace("%(asset)s", "'na/ecommerce/orders'"),
    )
    assert (without_order, without_purchase, differing) == (0, 0, 0)


def test_a_member_of_staff_who_was_erased_does_not_come_back_with_the_seeds(seeded: LoadingCells) -> None:
    cells = seeded
    person, tenant, member = cells.rows(
        "na",
        "select s.person_id, s.tenant_id, s.id from saas.users as s "
        "join saas.projects as p on p.tenant_id = s.tenant_id and p.created_by = s.id order by s.id limit 1",
    )[0]
    projects = cells.value("na", "select count(*) from saas.projects where tenant_id = %s", (tenant,))
    erase_person(person, settings=cells.settings)
    load_seeds("na", settings=cells.settings, window=cells.window)
    assert cells.value("na", "select count(*) from saas.users where tenant_id = %s and id = %s", (tenant, member)) == 0
    assert cells.value("na", "select count(*) from saas.projects where tenant_id = %s", (tenant,)) == projects


def test_the_purchase_log_comes_without_an_erased_customer_and_their_orders_stay(seeded: LoadingCells) -> None:
    cells = seeded
    whole = load_cdnow(settings=cells.settings)
    person = cells.value("na", "select person_id from ecommerce.users where tenant_id = %s and id = 1", (CDNOW_TENANT,))
    orders = "select count(*), sum(total_amount) from ecommerce.orders where tenant_id = %s"
    before = cells.rows("na", orders, (CDNOW_TENANT,))
    erase_person(person, settings=cells.settings)
    again = load_cdnow(settings=cells.settings)
    assert cells.rows("na", orders, (CDNOW_TENANT,)) == before
    assert again.customers == whole.customers - 1
    assert again.rows_loaded < whole.rows_loaded
    for relation in ("ecommerce.orders", "analytics.events_history"):
        query = f"select count(*) from {relation} where tenant_id = %s and user_id = 1"
        assert cells.value("na", query, (CDNOW_TENANT,)) == 0


def test_events_that_come_later_by_stream_or_file_do_not_bring_an_erased_shopper_back(
    seeded: LoadingCells, tmp_path: Path
) -> None:
    cells = seeded
    (gone_person, tenant, gone), (_, _, other) = cells.rows(
        "na",
        "select person_id, tenant_id, id from ecommerce.users "
        "where tenant_id = (select min(tenant_id::text)::uuid from ecommerce.users where tenant_id <> %s) "
        "and email not like '%%@erased.invalid' order by id limit 2",
        (CDNOW_TENANT,),
    )
    erase_person(gone_person, settings=cells.settings)
    named: Any = type("Named", (), {"id": tenant})
    taken = []
    for position, user in (("1-1", gone), ("1-2", other)):
        payload = event(named, "late", user)
        taken.append(Taken(position, decode(payload, at=datetime.now(UTC))))
    with cells.connect("na", "loader") as connection, connection.transaction():
        stored = EventStore("na").store(connection, taken)
    assert (stored.counted, stored.repeated, stored.dead) == ({"1-2"}, {"1-1"}, {})

    file = tmp_path / "late.csv"
    head = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
    lines = [f"2026-11-09 00:00:00 UTC,cart,1,2,,,1.00,{user},{uuid4()}" for user in (gone, other)]
    file.write_text("\n".join([head, *lines]) + "\n")
    report = import_events(file, str(tenant), settings=cells.settings)
    assert (report.rows_loaded, report.rows_rejected) == (1, 1)
    assert report.rejected_by_reason == (("user_id is a shopper who was erased", 1),)
    of_user = "select count(*) from analytics.events where tenant_id = %s and user_id = %s"
    assert cells.value("na", of_user, (tenant, gone)) == 0
    assert cells.value("na", of_user, (tenant, other)) >= 2
