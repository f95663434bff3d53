"""A person moves whole, with consent, whatever kills the move; the old region is proved empty."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestration.cells.journal import OperationError
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.persons import bundle, moving
from orchestration.persons.consents import Consent
from orchestration.persons.digests import person_digest
from orchestration.persons.erasing import erase_person, remains
from orchestration.persons.moving import STEPS, PersonMoveError, PersonResidencyError, _Move, move_person
from orchestration.persons.operations import NOBODY, list_operations
from orchestration.persons.whereabouts import PersonError, locate
from orchestration.tenancy import archive
from orchestration.tenancy.placement import placement_of
from orchestration.tenancy.registry import Tenant
from orchestration.tenancy.row_replacement import writing
from orchestration.tenancy.suspension import suspend
from tests.integration.persons.people import ORDER, SHOPPER, Someone, settle_queue, someone
from tests.integration.tenancy.life.conftest import LifeCells
from tests.integration.tenancy.life.merchants import open_merchant
from tests.integration.tenancy.life.test_erasure import files_with
from tests.integration.tenancy.life.test_moves import KilledError, kill_at

CONSENT = Consent("2026-11", datetime(2026, 11, 1, tzinfo=UTC))


def rows_of(life: LifeCells, person: Someone) -> dict[str, Any]:
    """Return every row of the person and of their orders, wherever that is in their cell, without when it changed."""
    found: dict[str, Any] = {}
    for tenant in person.tenants:
        place = placement_of(tenant)
        with life.connect(tenant.cell, database=place.database) as connection:
            for relation, condition in {
                "geo.users": f"id = '{person.id}'",
                "geo.eu_user_data": f"user_id = '{person.id}'",
                "saas.users": f"person_id = '{person.id}'",
                "saas.projects": f"tenant_id = '{tenant.id}'",
                "ecommerce.users": f"tenant_id = '{tenant.id}'",
                "ecommerce.addresses": f"tenant_id = '{tenant.id}'",
                "ecommerce.carts": f"tenant_id = '{tenant.id}'",
                "ecommerce.cart_items": f"tenant_id = '{tenant.id}'",
                "ecommerce.orders": f"tenant_id = '{tenant.id}'",
                "ecommerce.payments": f"tenant_id = '{tenant.id}'",
                "ecommerce.reviews": f"tenant_id = '{tenant.id}'",
            }.items():
                schema, table = relation.split(".")
                own: Any = place.schemas
                name = f"{own.get(schema, schema)}.{table}"
                query = f"select to_jsonb(r) - 'updated_at' from {name} as r where {condition}"
                rows = connection.execute(query.encode()).fetchall()
                found[f"{tenant.id} {relation}"] = sorted(json.dumps(row, sort_keys=True) for (row,) in rows)
    return found


def homes(life: LifeCells, person: Someone) -> list[str]:
    """Return the cells whose database knows the person."""
    know = "select count(*) from geo.users where id = %s"
    return [cell for cell in CELLS if life.value(cell, know, (person.id,))]


def left_in(life: LifeCells, found: Any, cell: Cell) -> list[Any]:
    looked_at = remains(found, cells=[cell], settings=life.settings)
    return [each for each in looked_at if each.count and each.where != "bundles"]


# What a person of people.py has in a shop: shoppers, addresses, carts, lines of carts, reviews.
ALL_OF_IT = (1, 1, 1, 1, 1)
NOTHING = (0, 0, 0, 0, 0)

_CARRIED = """
    select count(distinct u.id), count(distinct a.id), count(distinct c.id), count(distinct (i.cart_id, i.variant_id)),
        count(distinct r.id)
    from {0}.users as u
    left join {0}.addresses as a on a.tenant_id = u.tenant_id and a.user_id = u.id
    left join {0}.carts as c on c.tenant_id = u.tenant_id and c.user_id = u.id
    left join {0}.cart_items as i on i.tenant_id = c.tenant_id and i.cart_id = c.id
    left join {0}.reviews as r on r.tenant_id = u.tenant_id and r.user_id = u.id
    where u.tenant_id = '{1}' and u.person_id = '{2}'
"""


def in_shop(life: LifeCells, shop: Tenant, query: str, *given: object) -> list[tuple[Any, ...]]:
    """Return what a query says where the tenant's rows are; {0} stands for the schema of its shop, {1} for its id."""
    place = placement_of(shop)
    with life.connect(shop.cell, database=place.database) as connection:
        return list(connection.execute(query.format(place.schemas["ecommerce"], shop.id, *given).encode()))


def carried_to(life: LifeCells, shop: Tenant, person: Someone) -> tuple[int, ...]:
    """Return how much of the person is readable in a shop, as ALL_OF_IT."""
    return in_shop(life, shop, _CARRIED, person.id)[0]


def test_a_person_of_the_eu_moves_with_consent_and_leaves_no_byte_but_the_bundle(
    life: LifeCells, platform_home: Path
) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8))
    shop = open_merchant(life, "na")
    found = locate(person.id, life.settings)
    old = person.tenants[0]

    moved = move_person(person.id, to_region="na", consent=CONSENT, into={old.id: shop.id}, settings=life.settings)

    assert (moved.region, moved.cells, moved.home) == ("na", ("na",), "na")
    assert moved.tenants == (shop.id,)
    assert homes(life, person) == ["na"]
    assert left_in(life, found, "eu") == []
    ((email, first, hashed),) = life.rows(
        "na", "select email, first_name, password_hash from ecommerce.users where person_id = %s", (person.id,)
    )
    assert (email, first, hashed) == (person.email, f"={person.mark}()", f"hash {person.mark}")
    street = "select a.street_line1 from ecommerce.addresses as a where a.tenant_id = %s and a.user_id = %s"
    assert life.rows("na", street, (shop.id, moved.accounts[0].shoppers[0])) == [(person.mark,)]
    # What only the EU may hold went into the bundle, which stays in the EU.
    others: tuple[Cell, ...] = ("na", "apac")
    for cell in others:
        assert life.value(cell, "select count(*) from geo.eu_user_data") == 0
    (kept,) = (each for each in archive.bundles("eu", life.settings) if bundle.read(each)["person"] == str(person.id))
    assert any(each.relation == "geo.eu_user_data" for each in bundle.verify(kept).files)
    both: tuple[Cell, ...] = ("eu", "na")
    for cell in both:
        ((digest, salt, policy, old_region, new_region),) = life.rows(
            cell,
            "select person_digest, salt, policy_version, from_region, to_region from platform.person_consents "
            "order by recorded_at desc limit 1",
        )
        assert (policy, old_region, new_region) == ("2026-11", "eu", "na")
        assert digest == person_digest(person.id, salt)
    archive.remove([kept])
    settle_queue(life, "eu")
    server = [platform_home / "postgres" / "eu", platform_home / "redis" / "eu", platform_home / "logs"]
    places = [*server, life.settings.home]
    assert {str(place): files_with(place, person.mark) for place in places if files_with(place, person.mark)} == {}
    assert files_with(platform_home / "postgres" / "na", person.mark)
    # And the orders of the old shop are nobody's.
    buyer = "select user_id from ecommerce.orders where tenant_id = %s and id = %s"
    assert life.value("eu", buyer, (old.id, ORDER)) != SHOPPER


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("moment", ["started", "worked"])
def test_a_move_killed_at_any_step_ends_right_when_it_is_repeated(life: LifeCells, step: str, moment: str) -> None:
    models: tuple[Any, ...] = ("shared", "schema") if step == "park" else ("shared",)
    person = someone(life, "eu", mark=secrets.token_hex(8), models=models)
    shop = open_merchant(life, "na")
    found = locate(person.id, life.settings)
    into = {person.tenants[0].id: shop.id}
    known: list[list[str]] = []

    def watch(at: Any) -> None:
        known.append(homes(life, person))
        kill_at(moment, step)(at)

    with pytest.raises(KilledError):
        move_person(person.id, to_region="na", consent=CONSENT, into=into, settings=life.settings, progress=watch)
    known.append(homes(life, person))
    if (step, moment) == ("forget", "worked"):
        # Closed by the step itself: repeated, there is nothing to do.
        with pytest.raises(PersonMoveError, match="lives in cell 'na' and is of region 'na' already"):
            move_person(person.id, to_region="na", settings=life.settings)
    else:
        move_person(person.id, settings=life.settings)
    # Never in two cells, and in none only while parked.
    assert all(len(each) <= 1 for each in known)
    assert homes(life, person) == ["na"]
    assert left_in(life, found, "eu") == []
    assert life.value("eu", "select count(*) from platform.parked_rows") == 0
    assert carried_to(life, shop, person) == ALL_OF_IT
    assert life.rows("eu", "select from platform.person_operations where person_id <> %s", (NOBODY,)) == []


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize(
    ("step", "models"),
    [
        *((step, ("shared",)) for step in STEPS[: STEPS.index("arrive")]),
        ("park", ("schema",)),
        ("park", ("database",)),
    ],
)
def test_a_move_can_be_rolled_back_until_the_person_has_arrived(life: LifeCells, step: str, models: Any) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8), models=models)
    before, known = rows_of(life, person), homes(life, person)
    with pytest.raises(KilledError):
        move_person(
            person.id, to_region="na", consent=CONSENT, settings=life.settings, progress=kill_at("worked", step)
        )
    back = move_person(person.id, rollback=True, settings=life.settings)
    assert (back.cells, back.region) == (("eu",), "eu")
    assert rows_of(life, person) == before
    # One whom only a tenant's own database knows is known to the cell when that has been landed.
    assert homes(life, person) == known
    assert life.value("eu", "select count(*) from platform.parked_rows") == 0
    assert life.value("eu", "select platform.is_former_person(%s)", (person.id,)) is False
    tenant = person.tenants[0].id
    assert life.value("eu", "select count(*) from analytics.former_users where tenant_id = %s", (tenant,)) == 0
    assert [p for p in archive.bundles("eu", life.settings) if bundle.read(p)["person"] == str(person.id)] == []
    # And again, to the end.
    move_person(person.id, to_region="na", consent=CONSENT, settings=life.settings)
    assert homes(life, person) == ["na"]


@pytest.mark.usefixtures("brief")
def test_who_has_arrived_is_not_rolled_back(life: LifeCells) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8), models=("shared",))
    with pytest.raises(KilledError):
        move_person(
            person.id, to_region="na", consent=CONSENT, settings=life.settings, progress=kill_at("worked", "arrive")
        )
    with pytest.raises(PersonMoveError, match="too late to roll back: the person lives in 'na' since"):
        move_person(person.id, rollback=True, settings=life.settings)
    with pytest.raises(OperationError, match="is being moved"):
        erase_person(person.id, settings=life.settings)
    move_person(person.id, settings=life.settings)
    with pytest.raises(PersonMoveError, match="there is nothing to roll back"):
        move_person(person.id, rollback=True, settings=life.settings)


@pytest.mark.usefixtures("brief")
def test_a_move_that_cannot_be_is_refused_before_anything_changes(life: LifeCells) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8), models=("shared",))
    shop = open_merchant(life, "na")
    tenant = person.tenants[0].id
    before = rows_of(life, person)

    def refused(error: type[Exception], match: str, **to: Any) -> None:
        with pytest.raises(error, match=match):
            move_person(person.id, settings=life.settings, **to)
        assert rows_of(life, person) == before
        begun = "select from platform.person_operations where person_id = %s"
        assert life.rows("eu", begun, (person.id,)) == []

    refused(PersonResidencyError, r"of region 'eu' may live in eu, not in 'na'.*by --to-region na", to_cell="na")
    refused(PersonResidencyError, "may live in eu, not in 'apac'", to_region="eu", to_cell="apac")
    refused(PersonMoveError, "needs the person's consent: --consent", to_region="na")
    refused(PersonMoveError, "lives in cell 'eu' and is of region 'eu' already", to_region="eu")
    for region in ("NA", "", "mars", "na; drop table geo.users"):
        refused(PersonMoveError, "there is no region of that name", to_region=region, consent=CONSENT)
    for wrong in (
        Consent("", CONSENT.given_at),
        Consent("x'; --", CONSENT.given_at),
        Consent("1", datetime(2999, 1, 1, tzinfo=UTC)),
        Consent("1", CONSENT.given_at, "\n"),
    ):
        refused(PersonError, "version|past|purpose", to_region="na", consent=wrong)
    given = {"to_region": "na", "consent": CONSENT}
    refused(PersonMoveError, "is no shopper of tenant", into={shop.id: shop.id}, **given)
    suspend(shop, "test", settings=life.settings)
    refused(
        PersonMoveError, "is suspended: an account is carried into one that is open", into={tenant: shop.id}, **given
    )


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("step", ["consent", "park", "arrive", "clear", "prove"])
@pytest.mark.parametrize("cell", ["eu", "na"])
def test_a_cell_that_is_down_is_named_and_the_move_goes_on_when_it_is_back(
    life: LifeCells, step: str, cell: Cell
) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8), models=("shared",))
    nobody = type(life.settings.dsn_na)("postgresql://postgres:x@127.0.0.1:1/x")  # type: ignore[misc]
    away = life.settings.model_copy(update={f"dsn_{cell}": nobody})
    with pytest.raises(KilledError):
        move_person(
            person.id, to_region="na", consent=CONSENT, settings=life.settings, progress=kill_at("started", step)
        )
    with pytest.raises(CellUnavailableError, match=rf"'{cell}' at 127\.0\.0\.1:1 cannot be used"):
        move_person(person.id, to_region="na", consent=CONSENT, settings=away)
    move_person(person.id, settings=life.settings)
    assert homes(life, person) == ["na"]


@pytest.mark.usefixtures("brief")
def test_nobody_writes_a_person_who_is_on_the_way(life: LifeCells) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8), models=("shared",))
    tenant = person.tenants[0].id
    with pytest.raises(KilledError):
        move_person(
            person.id, to_region="na", consent=CONSENT, settings=life.settings, progress=kill_at("worked", "park")
        )
    with life.connect("eu", "app") as app:
        app.execute("select set_config('app.current_tenant', %s, false)", (str(tenant),))
        assert app.execute("update ecommerce.users set first_name = 'x' where id = %s", (SHOPPER,)).rowcount == 0
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            app.execute("insert into ecommerce.carts (user_id) values (%s)", (SHOPPER,))
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            app.execute(
                "insert into ecommerce.users (person_id, email, password_hash) values (%s, 'n@example.com', '!')",
                (person.id,),
            )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("select * from platform.parked_rows")
    move_person(person.id, rollback=True, settings=life.settings)


@pytest.mark.usefixtures("brief")
def test_a_person_may_live_in_another_cell_without_another_region(life: LifeCells) -> None:
    person = someone(life, "na", mark=secrets.token_hex(8), models=("shared",))
    moved = move_person(person.id, to_cell="apac", settings=life.settings)
    assert (moved.region, moved.cells) == ("na", ("apac",))
    # And into the EU: then they are one of its people, and do not get out without saying so.
    moved = move_person(person.id, to_region="eu", consent=CONSENT, settings=life.settings)
    assert (moved.region, moved.cells) == ("eu", ("eu",))
    with pytest.raises(PersonResidencyError):
        move_person(person.id, to_cell="na", settings=life.settings)
    back = move_person(person.id, to_region="na", consent=CONSENT, settings=life.settings)
    assert (back.region, back.cells) == ("na", ("na",))
    assert life.value("na", "select platform.is_former_person(%s)", (person.id,)) is False


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("model", ["shared", "database"])
def test_an_address_that_another_shopper_has_keeps_the_move_before_the_arrival(life: LifeCells, model: Any) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8), models=("shared",))
    shop = open_merchant(life, "na", model=model)
    taken = "update {0}.users set email = '{2}' where tenant_id = '{1}' and id = 1 returning id"
    in_shop(life, shop, taken, person.email)
    before = rows_of(life, person)
    into = {person.tenants[0].id: shop.id}
    with pytest.raises(PersonMoveError, match="does not take the account") as refused:
        move_person(person.id, to_region="na", consent=CONSENT, into=into, settings=life.settings)
    assert person.email not in str(refused.value)
    assert homes(life, person) == []
    move_person(person.id, rollback=True, settings=life.settings)
    assert rows_of(life, person) == before


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("model", ["shared", "schema", "database"])
@pytest.mark.parametrize("old_model", ["shared", "database"])
def test_carts_and_reviews_of_what_the_new_shop_sells_too_go_along_and_the_rest_is_told(
    life: LifeCells, model: Any, old_model: Any
) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8), models=(old_model,))
    old, shop = person.tenants[0], open_merchant(life, "na", model=model)
    place = placement_of(old)
    with writing("eu", "migrator", place.database, old.id, life.settings, verb="test") as connection:
        # A line and a review of what only the old shop sells, a cart of only that, and one that became an order.
        for statement in (
            "insert into {0}.cart_items (tenant_id, cart_id, variant_id, quantity) values ('{1}', 1, 2, 3)",
            (
                "insert into {0}.reviews (tenant_id, id, product_id, user_id, rating, body) "
                "values ('{1}', 77, 2, 1, 2, 'other')"
            ),
            "update {0}.product_variants set sku = 'only-here' where tenant_id = '{1}' and id = 2",
            "update {0}.products set sku = 'only-here' where tenant_id = '{1}' and id = 2",
            (
                "insert into {0}.carts (tenant_id, id, user_id, status) values ('{1}', 7, 1, 'abandoned'), "
                "('{1}', 8, 1, 'ordered')"
            ),
            (
                "insert into {0}.cart_items (tenant_id, cart_id, variant_id, quantity) "
                "values ('{1}', 7, 2, 1), ('{1}', 8, 1, 9)"
            ),
        ):
            connection.execute(statement.format(place.schemas["ecommerce"], old.id).encode())
    before = in_shop(life, old, "select created_at from {0}.reviews where tenant_id = '{1}' and product_id = 1")
    told: list[str] = []

    def listen(at: Any) -> None:
        told.append(at.describe())

    move_person(
        person.id,
        to_region="na",
        consent=CONSENT,
        into={old.id: shop.id},
        settings=life.settings,
        progress=listen,
    )

    assert carried_to(life, shop, person) == ALL_OF_IT
    owner = f"select id from {{0}}.users where tenant_id = '{{1}}' and person_id = '{person.id}'"
    carts = (
        "select c.status, v.sku, i.quantity from {0}.carts as c join {0}.cart_items as i using (tenant_id) "
        "join {0}.product_variants as v using (tenant_id) where c.tenant_id = '{1}' and i.cart_id = c.id "
        f"and v.id = i.variant_id and c.user_id = ({owner})"
    )
    assert in_shop(life, shop, carts) == [("open", "sku-1", 1)]
    reviews = (
        "select r.rating, r.title, r.body, p.sku, r.created_at from {0}.reviews as r join {0}.products as p "
        f"on p.tenant_id = r.tenant_id and p.id = r.product_id where r.tenant_id = '{{1}}' and r.user_id = ({owner})"
    )
    assert in_shop(life, shop, reviews) == [(4, person.mark, person.mark, "sku-1", before[0][0])]
    said = next(line for line in told if "arrive" in line and "worked" in line)
    assert "carried over: 1 accounts, 1 addresses, 1 carts, 1 lines, 1 reviews" in said
    assert "in the bundle alone: 2 lines, 1 reviews" in said
    done = next(each for each in list_operations(settings=life.settings) if each.is_of(person.id))
    assert done.counts["reviews_left"] == 1
    # The stars stay with the old shop, of nobody and without a word; of carts and events nothing is left there.
    assert in_shop(life, old, "select rating, title, body from {0}.reviews where tenant_id = '{1}' and id = 1") == [
        (4, None, None)
    ]
    assert in_shop(life, old, "select id from {0}.carts where tenant_id = '{1}'") == [(2,)]
    assert life.value("na", "select count(*) from analytics.events where page_url = %s", (person.mark,)) == 0


class _Interrupted:
    """Stands for ``writing``: behind the commit in the cell's own database the process is gone."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    @contextmanager
    def __call__(self, cell: Cell, role: Any, database: str | None, *given: Any, **named: Any) -> Iterator[Any]:
        with writing(cell, role, database, *given, **named) as connection:
            yield connection
        if (cell, database) == (self.cell, None):
            raise KilledError


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_an_account_that_goes_into_a_database_is_never_readable_in_two_places_whatever_kills_its_arrival(
    life: LifeCells, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8), models=("shared", "database"))
    old, own = person.tenants[1], open_merchant(life, "na", model="database")
    also, shop = person.tenants[0], open_merchant(life, "na")
    before = rows_of(life, person)
    into = {old.id: own.id, also.id: shop.id}

    def die(*_: object) -> None:
        raise KilledError

    progress: Any = kill_at("worked", "arrive") if where == "after" else lambda _: None
    with monkeypatch.context() as patch:
        if where == "before":
            patch.setattr(_Move, "_count", die)
        if where == "between":
            patch.setattr(moving, "writing", _Interrupted("na"))
        with pytest.raises(KilledError):
            move_person(
                person.id, to_region="na", consent=CONSENT, into=into, settings=life.settings, progress=progress
            )
    arrived = {"before": (NOTHING, NOTHING), "between": (ALL_OF_IT, NOTHING), "after": (ALL_OF_IT, ALL_OF_IT)}[where]
    assert (carried_to(life, shop, person), carried_to(life, own, person)) == arrived
    assert homes(life, person) == ([] if where == "before" else ["na"])
    assert all(carried_to(life, each, person) == NOTHING for each in person.tenants)
    if where == "before":
        move_person(person.id, rollback=True, settings=life.settings)
        assert rows_of(life, person) == before
        move_person(person.id, to_region="na", consent=CONSENT, into=into, settings=life.settings)
    else:
        with pytest.raises(PersonMoveError, match="too late to roll back"):
            move_person(person.id, rollback=True, settings=life.settings)
        move_person(person.id, settings=life.settings)
    assert carried_to(life, shop, person) == carried_to(life, own, person) == ALL_OF_IT
    moved = locate(person.id, life.settings)
    assert (moved.region, moved.cells) == ("na", ("na",))
    assert life.value("eu", "select count(*) from platform.parked_rows") == 0
    done = next(each for each in list_operations(settings=life.settings) if each.is_of(person.id))
    assert (done.counts["accounts_carried"], done.counts["carts_carried"], done.counts["reviews_carried"]) == (2, 2, 2)


@pytest.mark.usefixtures("brief")
def test_an_address_that_is_taken_between_the_two_transactions_of_an_arrival_keeps_the_account_parked(
    life: LifeCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8), models=("shared",))
    own = open_merchant(life, "na", model="database")
    taken = "update {0}.users set email = '{2}' where tenant_id = '{1}' and id = 1 returning id"
    with monkeypatch.context() as patch:
        patch.setattr(moving, "writing", _Interrupted("na"))
        with pytest.raises(KilledError):
            move_person(
                person.id,
                to_region="na",
                consent=CONSENT,
                into={person.tenants[0].id: own.id},
                settings=life.settings,
            )
    in_shop(life, own, taken, person.email)
    with pytest.raises(PersonMoveError, match="is parked in the old cell: repeat the command when it is free"):
        move_person(person.id, settings=life.settings)
    assert carried_to(life, own, person) == NOTHING
    in_shop(life, own, taken, "another@example.com")
    move_person(person.id, settings=life.settings)
    assert carried_to(life, own, person) == ALL_OF_IT


DIE = """
import os, sys
from uuid import UUID
from orchestration.persons import erasing, moving, parking
from orchestration.tenancy import compaction

compaction.recycle_write_ahead_log = lambda *_: ""
where = sys.argv[1]

def dying(module, name):
    real = getattr(module, name)
    def work(*given, **named):
        real(*given, **named)
        os.kill(os.getpid(), 9)
    setattr(module, name, work)

person = UUID(sys.argv[2])
if where == "erase":
    dying(erasing, "leave")
    erasing.erase_person(person)
if where == "park":
    dying(parking, "park")
if where == "arrive":
    dying(moving.former, "forget_person")
if where == "clear":
    dying(moving, "delete_events")
from datetime import UTC, datetime
from orchestration.persons.consents import Consent
moving.move_person(person, to_region="na", consent=Consent("1", datetime(2026, 1, 1, tzinfo=UTC)))
"""


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("where", ["erase", "park", "arrive", "clear"])
def test_a_process_that_is_killed_within_a_transaction_leaves_nothing_half_done(
    life: LifeCells, where: str, environment: dict[str, str]
) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8), models=("shared",))
    found = locate(person.id, life.settings)
    before = rows_of(life, person)
    died = subprocess.run(
        [sys.executable, "-c", DIE, where, str(person.id)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == -9, died.stderr
    if where in ("erase", "park"):
        assert rows_of(life, person) == before
    if where == "erase":
        assert erase_person(person.id, settings=life.settings).is_of(person.id)
    else:
        assert homes(life, person) == {"park": ["eu"], "arrive": [], "clear": ["na"]}[where]
        move_person(person.id, settings=life.settings)
        assert homes(life, person) == ["na"]
    assert left_in(life, found, "eu") == []
