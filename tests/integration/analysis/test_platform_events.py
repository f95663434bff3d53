"""The verbs over a tenant's own events: only that tenant's, only read, and by the same definition as over a file."""

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jinja2
import psycopg
import pytest
from psycopg.rows import TupleRow

from orchestration.analysis.render import render
from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.engines.local import LocalEngines
from orchestration.settings import PROJECT_ROOT

Capstone = Callable[..., Any]
Connection = psycopg.Connection[TupleRow]

PROJECT = PROJECT_ROOT / "dbt_project"
TENANTS = (UUID(int=0xA1), UUID(int=0xA2))
LOAD = UUID(int=0xAA)
# Of this many the second tenant's events are a part; both have the same users, and one user has no events in March.
STREAM_SIZE = 600
START = datetime(2026, 3, 1, tzinfo=UTC)

REMOVAL = (
    "delete from analytics.events where load_id = %(load)s",
    "delete from analytics.events_history where load_id = %(load)s",
    "delete from saas.tenants where id = any(%(tenants)s)",
    "delete from saas.plans where plan = 'analysis'",
)
PARAMETERS: dict[str, Any] = {"load": LOAD, "tenants": list(TENANTS)}


def _staged_events() -> str:
    """The staging model as SQL: what dbt makes of it, without waiting for dbt."""
    environment = jinja2.Environment(autoescape=False)  # noqa: S701 -- it is SQL
    environment.globals["source"] = lambda schema, table: f"{schema}.{table}"
    macro = (PROJECT / "macros/staging/referrer_domain.sql").read_text()
    model = (PROJECT / "models/staging/analytics/stg_events.sql").read_text()
    return environment.from_string(macro + model).render()


def _event(tenant: UUID, chance: random.Random) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "user": chance.choice([1, 2, 3, 4, 5, None]),
        "t": START + timedelta(seconds=chance.randrange(20 * 86400)),
        "type": chance.choice(["product_view", "add_to_cart", "checkout_start", "purchase", "search"]),
        "props": {"plan": chance.choice(["pro", "free"])},
        "device": chance.choice(["mobile", "desktop", None]),
        "country": chance.choice(["DE", "FR"]),
        "referrer": chance.choice([None, "https://News.Example:8080/a?b", "https://www.shop.example/", "no address"]),
    }


@pytest.fixture(scope="module")
def stream() -> list[dict[str, Any]]:
    chance = random.Random(7)  # noqa: S311 -- test data
    return [_event(chance.choice(TENANTS), chance) for _ in range(STREAM_SIZE)]


def _store(connection: Connection, table: str, events: list[dict[str, Any]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            f"insert into analytics.{table} (time, tenant_id, event_id, user_id, event_type, properties, device_type,"
            " country, referrer, origin, load_id)"
            " values (%(t)s, %(tenant)s, %(id)s, %(user)s, %(type)s, %(json)s, %(device)s, %(country)s, %(referrer)s,"
            " 'synthetic', %(load)s)",
            [event | {"id": uuid4(), "json": json.dumps(event["props"]), "load": LOAD} for event in events],
        )


@pytest.fixture(scope="module")
def platform(cells: LocalEngines, stream: list[dict[str, Any]]) -> Iterator[None]:
    """Two tenants in na, live and old events of theirs, and staging's view; as it was afterwards."""
    assert cells
    with routing.connect("na", "superuser", autocommit=True) as connection:
        for statement in REMOVAL:
            connection.execute(statement.encode(), PARAMETERS)
        connection.execute("insert into saas.plans (plan, name, monthly_price) values ('analysis', 'Analysis', 0)")
        for tenant, name in zip(TENANTS, ("asked", "other"), strict=True):
            connection.execute(
                "insert into saas.tenants (id, name, subdomain, plan) values (%s, %s, %s, 'analysis')",
                (tenant, name, f"analysis-{name}"),
            )
        _store(connection, "events", stream[: STREAM_SIZE // 2])
        _store(connection, "events_history", stream[STREAM_SIZE // 2 :])
        there = connection.execute("select to_regclass('staging.stg_events')").fetchone() != (None,)
        if not there:
            connection.execute("set role transformer")
            connection.execute(f"create view staging.stg_events as {_staged_events()}".encode())
            connection.execute("reset role")
        try:
            yield
        finally:
            if not there:
                connection.execute("drop view staging.stg_events")
            for statement in REMOVAL:
                connection.execute(statement.encode(), PARAMETERS)


pytestmark = pytest.mark.usefixtures("platform")
ASKED = ("--tenant", "analysis-asked", "--cell", "na", "--json")
STEPS = ["product_view", {"type": "purchase", "props": {"plan": "pro"}}, {"type": None}]
FUNNEL = {"steps": STEPS, "window_seconds": 86400, "mode": "ordered", "exclusions": []}


def _of_tenant(stream: list[dict[str, Any]], **only: Any) -> list[dict[str, Any]]:
    return [e for e in stream if e["tenant"] == TENANTS[0] and all(e[key] == value for key, value in only.items())]


def _file(folder: Path, events: list[dict[str, Any]]) -> Path:
    path = folder / "events.jsonl"
    lines = [{"t": e["t"].isoformat(), "user": e["user"], "type": e["type"], "props": e["props"]} for e in events]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _spec(folder: Path, content: Any) -> Path:
    path = folder / "spec.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("mode", ["ordered", "strict"])
def test_a_tenants_funnel_is_that_of_a_file_with_its_events(
    mode: str, tmp_path: Path, capstone: Capstone, stream: list[dict[str, Any]]
) -> None:
    spec = _spec(tmp_path, FUNNEL | {"mode": mode})
    expected = capstone("funnel", "--events", _file(tmp_path, _of_tenant(stream)), "--spec", spec, "--json")
    assert expected["step_counts"][1] > 0
    assert capstone("funnel", *ASKED, "--spec", spec) == expected
    by_id = ("--tenant", str(TENANTS[0]).upper(), "--cell", "na", "--json")
    assert capstone("funnel", *by_id, "--spec", spec) == expected


def test_a_configured_funnel_is_asked_by_its_name(
    tmp_path: Path, capstone: Capstone, stream: list[dict[str, Any]]
) -> None:
    steps = ["product_view", "add_to_cart", "checkout_start", "purchase"]
    spec = _spec(tmp_path, {"steps": steps, "window_seconds": 86400})
    events = _file(tmp_path, _of_tenant(stream))
    expected = capstone("funnel", "--events", events, "--spec", spec, "--json")
    assert capstone("funnel", "--events", events, "--funnel", "purchase", "--json") == expected
    assert capstone("funnel", *ASKED, "--funnel", "purchase") == expected


@pytest.fixture
def kept(platform: None) -> Iterator[None]:  # noqa: ARG001 -- its events are kept
    """The kept sequences as a run of dbt leaves them; as it was afterwards."""
    there = "select to_regclass('intermediate.int_event_sequences')"
    with routing.connect("na", "superuser", autocommit=True) as connection:
        assert connection.execute(there.encode()).fetchone() == (None,)
        sequences = render("funnel/event_sequences.sql", "event_sequences", events="staging.stg_events")
        connection.execute("set role transformer")
        connection.execute(f"create table intermediate.int_event_sequences as {sequences}".encode())
        yield
        connection.execute("drop table intermediate.int_event_sequences")


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("more", [(), ("--from", "2026-03-03", "--to", "2026-03-09"), ("--breakdown", "country")])
def test_kept_sequences_give_the_same(more: tuple[str, ...], tmp_path: Path, capstone: Capstone) -> None:
    spec = _spec(tmp_path, {"steps": ["search", {"type": "product_view"}, "search"], "window_seconds": 400_000})
    expected = capstone("funnel", *ASKED, *more, "--spec", spec)
    assert capstone("funnel", *ASKED, *more, "--kept", "--spec", spec) == expected


@pytest.mark.parametrize(
    "change", [{"mode": "strict"}, {"steps": [{"type": None}]}, {"exclusions": [{"type": "a", "from": 0, "to": 1}]}]
)
def test_what_sequences_do_not_hold_is_told(change: dict[str, Any], tmp_path: Path, capstone: Capstone) -> None:
    spec = _spec(tmp_path, {"steps": ["a", "b"], "window_seconds": 60} | change)
    assert "--kept needs steps that are event types" in capstone("funnel", *ASKED, "--kept", "--spec", spec, code=1)


def test_a_cell_that_dbt_has_not_built_is_told(capstone: Capstone) -> None:
    told = capstone("funnel", *ASKED, "--kept", "--funnel", "purchase", code=1)
    assert "`capstone up` builds" in told


def test_days_limit_the_starts_and_not_what_follows(
    tmp_path: Path, capstone: Capstone, stream: list[dict[str, Any]]
) -> None:
    # Starts are marked in the file's copy by their type, so that the file form needs no days.
    first, last = START + timedelta(days=3), START + timedelta(days=5)
    events = [
        e
        | {"type": "start" if e["type"] == "product_view" and first <= e["t"] < last + timedelta(days=1) else e["type"]}
        for e in _of_tenant(stream)
    ]
    marked = _spec(tmp_path, {"steps": ["start", "add_to_cart"], "window_seconds": 200_000})
    expected = capstone("funnel", "--events", _file(tmp_path, events), "--spec", marked, "--json")
    spec = _spec(tmp_path, {"steps": ["product_view", "add_to_cart"], "window_seconds": 200_000})
    days = ("--from", first.date(), "--to", last.date())
    assert capstone("funnel", *ASKED, *days, "--spec", spec) == expected
    assert expected != capstone("funnel", *ASKED, "--spec", spec)


HOSTS = {
    None: "direct",
    "https://News.Example:8080/a?b": "news.example",
    "https://www.shop.example/": "www.shop.example",
    "no address": "unknown",
}


@pytest.mark.parametrize("breakdown", ["device_type", "country", "referrer_domain"])
def test_a_breakdown_is_the_funnel_of_the_users_with_that_first_touch(
    breakdown: str, tmp_path: Path, capstone: Capstone, stream: list[dict[str, Any]]
) -> None:
    column = {"device_type": "device", "country": "country", "referrer_domain": "referrer"}[breakdown]
    of_user: dict[str, list[int]] = {}
    for user in range(1, 6):
        touch = min(_of_tenant(stream, user=user), key=lambda e: e["t"])[column]
        value = HOSTS[touch] if column == "referrer" else touch or "unknown"
        of_user.setdefault(value, []).append(user)
    matrix = {"period": "week", "kind": "recurring", "target_event": "purchase", "return_event": "purchase"}
    weeks = {"range": {"first": "2026-02-23", "last": "2026-03-16"}}
    asked = capstone("funnel", *ASKED, "--breakdown", breakdown, "--spec", _spec(tmp_path, FUNNEL))
    turned = capstone("retention", *ASKED, "--breakdown", breakdown, "--spec", _spec(tmp_path, matrix | weeks))
    assert asked["breakdown"] == turned["breakdown"] == breakdown
    assert asked["values"].keys() == turned["values"].keys() == of_user.keys()
    for value, users in of_user.items():
        events = _file(tmp_path, [e for e in _of_tenant(stream) if e["user"] in users])
        spec = _spec(tmp_path, FUNNEL)
        assert asked["values"][value] == capstone("funnel", "--events", events, "--spec", spec, "--json")
        spec = _spec(tmp_path, matrix | weeks)
        assert turned["values"][value] == capstone("retention", "--events", events, "--spec", spec, "--json")


@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_a_matrix_covers_all_periods_with_events_unless_days_are_given(
    period: str, tmp_path: Path, capstone: Capstone, stream: list[dict[str, Any]]
) -> None:
    matrix = {"period": period, "kind": "first_time", "target_event": "purchase", "return_event": "purchase"}
    first = {"day": "2026-03-01", "week": "2026-02-23", "month": "2026-03-01"}[period]
    last = {"day": "2026-03-20", "week": "2026-03-16", "month": "2026-03-01"}[period]
    spec = _spec(tmp_path, matrix | {"range": {"first": first, "last": last}})
    events = _file(tmp_path, _of_tenant(stream))
    expected = capstone("retention", "--events", events, "--spec", spec, "--json")
    assert expected
    assert capstone("retention", *ASKED, "--spec", spec) == expected
    assert capstone("retention", *ASKED, "--cohort", "first_purchase", "--period", period) == expected
    spec = _spec(tmp_path, matrix)
    days = ("--from", "2026-03-01", "--to", "2026-03-20")
    assert capstone("retention", *ASKED, "--spec", spec) == expected
    assert capstone("retention", *ASKED, *days, "--spec", spec) == expected


def test_what_people_read_names_the_breakdowns_values(capstone: Capstone, capsys: pytest.CaptureFixture[str]) -> None:
    capstone(*("funnel", *ASKED[:-1], "--breakdown", "country", "--funnel", "purchase"))
    assert "country: " in capsys.readouterr().out
    capstone(*("retention", *ASKED[:-1], "--breakdown", "country", "--cohort", "returning_buyers"))
    assert "country: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tenant", "cell", "message"),
    [
        ("nobody", "na", "cell 'na' has no tenant 'nobody': an id or a subdomain is needed"),
        ("' or true --", "na", "has no tenant"),
        ("%", "na", "has no tenant"),
        (str(UUID(int=0xFFFF)), "na", "has no tenant"),
        ("analysis-asked", "eu", "cell 'eu' has no tenant 'analysis-asked': it lives in cell 'na'"),
    ],
)
def test_a_tenant_that_is_not_there_is_told(tenant: str, cell: Cell, message: str, capstone: Capstone) -> None:
    told = capstone("funnel", "--tenant", tenant, "--cell", cell, "--funnel", "purchase", "--json", code=1)
    assert message in told


def test_a_tenant_without_events_has_zeros(tmp_path: Path, capstone: Capstone) -> None:
    far = ("--from", "2001-01-01", "--to", "2001-01-02")
    found = capstone("funnel", *ASKED, *far, "--spec", _spec(tmp_path, FUNNEL))
    assert found == {"step_counts": [0, 0, 0], "avg_seconds": [None] * 3, "median_seconds": [None] * 3}
    found = capstone("funnel", *ASKED, *far, "--breakdown", "country", "--spec", _spec(tmp_path, FUNNEL))
    assert found == {"breakdown": "country", "values": {}}
    assert capstone("retention", *ASKED, *far, "--cohort", "first_purchase", "--period", "day") == {}


def test_a_range_of_too_many_periods_is_told(capstone: Capstone) -> None:
    days = ("--from", "1990-01-01", "--to", "2026-01-01")
    told = capstone("retention", *ASKED, *days, "--cohort", "first_purchase", code=1)
    assert "13150 days, 4000 at most" in told
