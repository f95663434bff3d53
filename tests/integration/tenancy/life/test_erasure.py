"""An erased tenant is gone from every store, down to the bytes of the files, and the certificate names nobody."""

import json
import mmap
import secrets
import stat
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from orchestration.cells import endpoints
from orchestration.cells.journal import OperationError, StepProgress
from orchestration.cells.regions import CELLS
from orchestration.tenancy import archive, certificates, compaction
from orchestration.tenancy.backup import backup_tenant
from orchestration.tenancy.certificates import CertificateError
from orchestration.tenancy.erasing import NOBODY, EraseError, erase_tenant, remains
from orchestration.tenancy.exporting import export_tenant
from orchestration.tenancy.moving import move_tenant
from orchestration.tenancy.registry import Model, Tenant, UnknownTenantError
from tests.integration.tenancy.life.conftest import LifeCells
from tests.integration.tenancy.life.merchants import open_merchant
from tests.integration.tenancy.life.test_moves import KilledError, kill_at, rows_of

STEPS = ("close", "archives", "redis", "models", "rows", "places", "registry", "compact", "prove", "certify", "forget")


@pytest.fixture(scope="module")
def built(life: LifeCells) -> None:
    """A mart, as dbt would have built it, and plans."""
    for cell in CELLS:
        life.execute(cell, "insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0)")
        life.execute(cell, "set role transformer; create table marts.fct_daily_revenue (tenant_id uuid, day date)")


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what only the bytes of files rest on: a gigabyte of write-ahead log for each test."""
    monkeypatch.setattr(compaction, "recycle_write_ahead_log", lambda *_: "left out")
    monkeypatch.setattr(compaction, "REWRITTEN_BYTES", 0)


def make(life: LifeCells, *, mark: str = "quiet", model: Model = "shared") -> Tenant:
    made = open_merchant(life, "eu", mark=mark, model=model)
    life.execute("eu", "insert into marts.fct_daily_revenue values (%s, now())", (made.id,))
    client = redis.Redis.from_url(endpoints.redis_url("eu", life.settings))
    client.set(f"counter:{made.id}:today", mark)
    client.pfadd(f"users:{made.id.hex}", mark)
    client.xadd("stream:events", {"tenant_id": str(made.id), "page": mark})
    client.close()
    export_tenant(made, settings=life.settings)
    backup_tenant(made, settings=life.settings)
    return made


def files_with(directory: Path, mark: str) -> list[str]:
    """Return the files below ``directory`` that hold these bytes."""
    found = []
    for path in directory.rglob("*"):
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if content.find(mark.encode()) >= 0:
                    found.append(str(path.relative_to(directory)))
    return found


def test_an_erased_tenant_is_in_no_store_and_in_no_byte_of_a_file(
    life: LifeCells, built: None, platform_home: Path
) -> None:
    del built
    mark, kept = secrets.token_hex(8), secrets.token_hex(8)
    other = make(life, mark=kept)
    others = rows_of(life, other)
    tenant = make(life, mark=mark)
    places = [
        platform_home / "postgres" / "eu",
        platform_home / "redis" / "eu",
        platform_home / "logs",
        life.settings.home,
    ]
    life.execute("eu", "analyze ecommerce.users")
    life.execute("eu", "checkpoint")
    assert all(files_with(place, mark) for place in (places[0], places[1], places[3])), "the search finds what is there"
    found = {(each.store, each.where): each.count for each in remains(tenant.id, "eu", settings=life.settings)}
    assert found["events", "analytics.events"] == 20
    assert found["counters", "keys"] == 2
    assert found["queue", "entries of streams"] == 1
    assert found["exports", "eu"] == found["backups", "eu"] == 1

    certificate = erase_tenant(tenant.subdomain, settings=life.settings)

    assert [each for each in remains(tenant.id, "eu", settings=life.settings) if each.count] == []
    assert {str(place): files_with(place, mark) for place in places if files_with(place, mark)} == {}
    assert files_with(places[0], kept), "nobody else was touched"
    assert rows_of(life, other) == others
    assert len(archive.archives("backup", "eu", other.id, life.settings)) == 1
    with pytest.raises(UnknownTenantError):
        erase_tenant(tenant.subdomain, settings=life.settings)
    assert certificate.is_of(tenant.id)
    assert not certificate.is_of(other.id)
    assert certificate.deleted["persons"] == 2
    assert certificate.tables_not_rewritten == 0
    for path in certificates.directory("eu", life.settings).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        text = path.read_text()
        for telling in (str(tenant.id), tenant.id.hex, tenant.subdomain, tenant.name, mark):
            assert telling not in text
    assert life.rows(
        "eu",
        "select verb, state, arguments, facts from platform.tenant_operations "
        "where operation_id = %s and tenant_id = %s",
        (certificate.certificate_id, NOBODY),
    ) == [("erase", "done", {}, {"certificate": certificate.certificate_id})]


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("moment", ["started", "worked"])
def test_an_erasure_killed_at_any_step_is_ended_by_repeating_it(
    life: LifeCells, built: None, step: str, moment: str
) -> None:
    del built
    tenant = make(life)
    with pytest.raises(KilledError):
        erase_tenant(tenant.subdomain, settings=life.settings, progress=kill_at(moment, step))
    if (step, moment) == ("forget", "worked"):
        return
    certificate = erase_tenant(tenant.subdomain, settings=life.settings)
    assert certificate.is_of(tenant.id)
    assert certificate.deleted["persons"] == 2
    assert [each for each in remains(tenant.id, "eu", settings=life.settings) if each.count] == []


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("model", ["schema", "database"])
def test_a_tenant_with_a_place_of_its_own_is_erased_with_it(life: LifeCells, built: None, model: Model) -> None:
    del built
    tenant = make(life, model=model)
    assert erase_tenant(str(tenant.id), settings=life.settings).model == model
    assert [each for each in remains(tenant.id, "eu", settings=life.settings) if each.count] == []


@pytest.mark.usefixtures("brief")
def test_a_person_whom_another_tenant_names_stays(life: LifeCells, built: None) -> None:
    del built
    tenant, other = make(life), make(life)
    person = life.value("eu", "select person_id from ecommerce.users where tenant_id = %s and id = 1", (tenant.id,))
    life.execute("eu", "update saas.users set person_id = %s where tenant_id = %s", (person, other.id))
    certificate = erase_tenant(tenant.subdomain, settings=life.settings)
    assert (certificate.deleted["persons"], certificate.deleted["persons_kept"]) == (1, 1)
    assert life.value("eu", "select count(*) from geo.eu_user_data where user_id = %s", (person,)) == 1


@pytest.mark.usefixtures("brief")
def test_what_comes_back_behind_the_erasure_is_found_by_its_proof(life: LifeCells, built: None) -> None:
    del built
    tenant = make(life)

    def bring_back(step: StepProgress) -> None:
        if (step.step, step.moment) == ("compact", "finished"):
            life.execute("eu", "insert into marts.fct_daily_revenue values (%s, now())", (tenant.id,))

    with pytest.raises(EraseError, match=r"is not erased: models: 1 in marts.fct_daily_revenue"):
        erase_tenant(tenant.subdomain, settings=life.settings, progress=bring_back)
    assert erase_tenant(tenant.subdomain, settings=life.settings).is_of(tenant.id)


@pytest.mark.usefixtures("brief")
def test_a_tenant_that_is_being_moved_is_not_erased(life: LifeCells, built: None) -> None:
    del built
    tenant = open_merchant(life, "na")
    with pytest.raises(KilledError):
        move_tenant(tenant.subdomain, to_cell="apac", settings=life.settings, progress=kill_at("finished", "fence"))
    with pytest.raises(OperationError, match="is being moved"):
        erase_tenant(tenant.subdomain, settings=life.settings)
    move_tenant(tenant.subdomain, rollback=True, settings=life.settings)


@pytest.mark.usefixtures("brief")
def test_a_certificate_that_was_changed_is_found_out(life: LifeCells, built: None) -> None:
    del built
    certificate = erase_tenant(make(life).subdomain, settings=life.settings)
    path = certificates.directory("eu", life.settings) / f"{certificate.certificate_id}.json"
    content = json.loads(path.read_text())
    content["deleted"]["persons"] = 3
    path.write_text(json.dumps(content))
    with pytest.raises(CertificateError, match="has been changed"):
        certificates.read("eu", certificate.certificate_id, life.settings)


@pytest.mark.usefixtures("brief")
def test_nobody_can_write_for_a_tenant_that_is_being_erased(life: LifeCells, built: None) -> None:
    del built
    tenant = make(life)
    with pytest.raises(KilledError):
        erase_tenant(tenant.subdomain, settings=life.settings, progress=kill_at("finished", "close"))
    with life.connect("eu", "loader") as loader, pytest.raises(psycopg.Error) as refused:
        loader.execute("delete from ecommerce.orders where tenant_id = %s", (tenant.id,))
    assert refused.value.sqlstate == "TNT01"
    erase_tenant(tenant.subdomain, settings=life.settings)


@pytest.mark.usefixtures("brief")
def test_who_read_the_tenant_before_and_writes_it_down_later_is_waited_for(life: LifeCells, built: None) -> None:
    """As a run of dbt does that had begun to build a mart when the erasure began."""
    del built
    tenant = make(life)
    steps: list[str] = []
    done: list[Any] = []

    def erase() -> None:
        told = erase_tenant(
            tenant.subdomain, settings=life.settings, progress=lambda at: steps.append(f"{at.moment} {at.step}")
        )
        done.append(told)

    erasing = threading.Thread(target=erase)
    with life.connect("eu") as model, model.transaction():
        model.execute("insert into marts.fct_daily_revenue values (%s, '2020-01-01')", (tenant.id,))
        erasing.start()
        deadline = time.monotonic() + 60
        while "started compact" not in steps:
            assert time.monotonic() < deadline, steps
            erasing.join(0.1)
        erasing.join(2)
        assert erasing.is_alive(), "an erasure that has proved what was not written yet"
    erasing.join(60)
    assert done[0].places_looked_at
    assert life.value("eu", "select count(*) from marts.fct_daily_revenue where tenant_id = %s", (tenant.id,)) == 0
