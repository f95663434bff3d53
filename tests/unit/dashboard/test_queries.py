"""What may be asked of the dashboard, over which time, and what every file of a query has to be."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from orchestration.cells.relations import load_relations
from orchestration.cli import main
from orchestration.dashboard import queries
from orchestration.dashboard.queries import NAMES, QUERIES, DashboardError, Question, statement

SQL = Path(queries.__file__).parent / "sql"
# A Wednesday.
AT = datetime(2026, 3, 11, 15, 30, 30, tzinfo=UTC)


def test_every_query_is_a_file_and_every_file_is_a_query() -> None:
    assert {path.stem for path in SQL.iterdir()} == set(NAMES) == set(QUERIES)


@pytest.mark.parametrize("name", NAMES)
def test_a_query_says_what_it_shows_and_reads_what_tenants_may_read(name: str) -> None:
    query = queries.find(name)
    assert query.description.endswith(".")
    readable = {relation.name for relation in load_relations() if relation.app == ("select",)}
    assert set(query.sources) <= readable
    text = (SQL / f"{name}.sql").read_text()
    assert all(source in text for source in query.sources)
    assert "tenant_id =" not in text


@pytest.mark.parametrize(
    ("name", "last", "start", "stop"),
    [
        ("events_per_minute", 2, "2026-03-11T15:29", "2026-03-11T15:31"),
        ("events_per_hour", None, "2026-03-09T16:00", "2026-03-11T16:00"),
        ("events_per_day", 1, "2026-03-11T00:00", "2026-03-12T00:00"),
        ("top_pages", 1, "2026-03-10T00:00", "2026-03-11T00:00"),
        ("retention_glance", 2, "2026-03-02T00:00", "2026-03-16T00:00"),
    ],
)
def test_a_range_ends_with_the_running_unit_of_time_or_before_it(
    name: str, last: int | None, start: str, stop: str
) -> None:
    for zone in (UTC, timezone(timedelta(hours=-9, minutes=30))):
        asked = statement(Question(name, AT.astimezone(zone), last=last))
        assert asked.start == datetime.fromisoformat(f"{start}+00:00")
        assert asked.stop == datetime.fromisoformat(f"{stop}+00:00")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "events"}, "no dashboard query 'events': there is events_per_minute, "),
        ({"name": "active_users", "last": 3}, "active_users has no option last: it has none"),
        ({"name": "events_per_day", "limit": 3}, "no option limit: it has last, event_type"),
        ({"name": "events_per_day", "last": 0}, "of the last 0 days: 1 to 366 is possible"),
        ({"name": "events_per_minute", "last": 1441}, "of the last 1441 minutes: 1 to 1440 is possible"),
        ({"name": "top_pages", "limit": 1001}, "limit is 1001: 1 to 1000 is possible"),
        ({"name": "events_per_day", "event_type": "a\0b"}, "holds a null character"),
        ({"name": "funnel_today", "funnel": "x"}, "no funnel 'x' is configured: there is purchase, "),
        ({"name": "retention_glance", "cohort": "x"}, "no cohort 'x' with weeks is configured: there is "),
        ({"name": "events_per_day", "at": datetime(2026, 3, 11)}, "without a zone"),  # noqa: DTZ001
        ({"name": "events_per_day", "at": datetime(1, 1, 1, tzinfo=UTC)}, "of the year 1: 1970 to 9000"),
        ({"name": "events_per_day", "at": datetime(9999, 12, 31, tzinfo=UTC)}, "of the year 9999"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_with_what_can(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DashboardError, match=message.replace("(", r"\(")):
        statement(Question(**options))


def test_a_per_cent_sign_of_a_funnels_configuration_is_no_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.analysis.configuration import ConfiguredFunnel
    from orchestration.analysis.spec import FunnelSpec

    funnel = ConfiguredFunnel("sale", "", FunnelSpec(("100%s off", "purchase"), 60))
    monkeypatch.setattr(queries, "_funnel", lambda _: funnel)
    text = statement(Question("funnel_today", AT)).text.decode()
    assert "'100%%s off'" in text
    assert text.replace("%%", "").count("%") == text.count("%(start)s") + text.count("%(stop)s")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense", "--tenant", "a"], "no dashboard query 'nonsense'"),
        (["top_pages"], "whose top_pages? give --tenant"),
        (["--tenant", "a", "--last", "3"], "options go with one query"),
        (["top_pages", "--tenant", "a", "--at", "noon"], "--at is 'noon': a moment such as"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dashboard", *arguments])
    assert ended.value.code != 0
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_the_list_of_queries_needs_no_cell(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dashboard", "--json"])
    assert ended.value.code == 0
    listed = capsys.readouterr().out
    assert "funnel_today" in listed
    assert "analytics.tenant_user_days" in listed
