"""The gate of the data path: open only while both suites are proven, recently, for the catalog as it is."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import errors

PROOF = """
    insert into platform.proofs (suite, verdict, catalog_digest, offenders, rules_run, started_at, finished_at)
    values (%(suite)s, %(verdict)s, coalesce(%(digest)s, platform.catalog_digest()), %(offenders)s, 3,
        clock_timestamp() - %(age)s::interval, clock_timestamp() - %(age)s::interval)
"""
OFFENDERS = '[{"rule": "r", "object": "saas.users", "count": 2}]'


def prove(
    auditor: Any, suite: str, verdict: str = "green", *, digest: str | None = None, age: str = "1 second"
) -> None:
    offenders = OFFENDERS if verdict == "red" else "[]"
    auditor.execute(PROOF, {"suite": suite, "verdict": verdict, "digest": digest, "offenders": offenders, "age": age})


@pytest.fixture
def auditor(connect: Any) -> Iterator[Any]:
    """The auditor's connection to a cell without proofs, whose own are undone."""
    with connect("auditor") as connection:
        connection.execute("delete from platform.proofs")
        yield connection
        connection.rollback()


@pytest.fixture
def proven(auditor: Any) -> Any:
    """Both suites green."""
    prove(auditor, "tenant_isolation")
    prove(auditor, "geo_residency")
    return auditor


def assert_open(connection: Any, *arguments: str) -> None:
    placeholders = ", ".join("%s::interval" for _ in arguments)
    connection.execute(f"select platform.assert_gate_open({placeholders})", arguments)


def refused(connection: Any, said: str, *arguments: str) -> None:
    with pytest.raises(errors.ObjectNotInPrerequisiteState) as error, connection.transaction():
        assert_open(connection, *arguments)
    assert re.search(said, error.value.diag.message_primary or "")


def test_with_both_suites_green_the_gate_is_open(proven: Any) -> None:
    assert_open(proven)
    assert proven.execute("select suite, verdict, reason, open from platform.gate_state() order by 1").fetchall() == [
        ("geo_residency", "green", None, True),
        ("tenant_isolation", "green", None, True),
    ]


def test_without_proofs_it_is_closed_and_says_so_for_each_suite(auditor: Any) -> None:
    refused(
        auditor,
        "the gate of cell 'na' is closed: geo_residency was never proven in this cell; "
        "tenant_isolation was never proven in this cell",
    )


@pytest.mark.parametrize("suite", ["tenant_isolation", "geo_residency"])
@pytest.mark.parametrize(
    ("verdict", "said"), [("red", r"is violated \(1 offenders\)"), ("error", "could not be proven")]
)
def test_one_suite_that_is_not_green_closes_it(proven: Any, suite: str, verdict: str, said: str) -> None:
    prove(proven, suite, verdict, age="0 seconds")
    refused(proven, f"closed: {suite} {said}$")


def test_only_the_newest_verdict_of_a_suite_counts(proven: Any) -> None:
    prove(proven, "tenant_isolation", "red", age="10 minutes")
    assert_open(proven)
    prove(proven, "tenant_isolation", "red", age="0 seconds")
    refused(proven, "tenant_isolation is violated")
    prove(proven, "tenant_isolation", age="0 seconds")
    assert_open(proven)


def test_of_two_verdicts_at_once_the_worse_one_counts(auditor: Any) -> None:
    prove(auditor, "geo_residency")
    prove(auditor, "tenant_isolation")
    assert_open(auditor)
    auditor.execute(
        "insert into platform.proofs (suite, verdict, catalog_digest, offenders, rules_run, started_at, finished_at)"
        " select suite, 'red', catalog_digest, %s, rules_run, started_at, finished_at from platform.proofs",
        (OFFENDERS,),
    )
    refused(auditor, "geo_residency is violated .* tenant_isolation is violated")


def test_a_verdict_older_than_an_hour_closes_it_whatever_the_caller_allows(proven: Any) -> None:
    proven.execute("delete from platform.proofs where suite = 'geo_residency'")
    prove(proven, "geo_residency", age="61 minutes")
    refused(proven, "geo_residency was proven 61 minutes ago, at most 60 are allowed$")
    refused(proven, "geo_residency was proven 61 minutes ago, at most 60 are allowed$", "10 days")


def test_a_caller_may_ask_for_a_younger_verdict(proven: Any) -> None:
    refused(proven, "at most 0 are", "100 milliseconds")
    refused(proven, "at most -1 are", "-1 minute")
    assert_open(proven, "5 minutes")


def test_a_verdict_from_the_future_closes_it(proven: Any) -> None:
    prove(proven, "tenant_isolation", age="-1 hour")
    refused(proven, "tenant_isolation was proven in the future")


def test_a_verdict_from_before_a_catalog_change_closes_it(connect: Any) -> None:
    with connect("superuser") as connection:
        connection.execute("delete from platform.proofs")
        prove(connection, "tenant_isolation")
        prove(connection, "geo_residency")
        assert_open(connection)
        connection.execute("create table saas.forgotten (tenant_id uuid)")
        refused(connection, "tenant_isolation was proven before the catalog changed")
        connection.execute("drop table saas.forgotten")
        assert_open(connection)
        connection.rollback()


def test_a_green_verdict_without_rules_or_with_offenders_cannot_be_recorded(auditor: Any) -> None:
    query = (
        "insert into platform.proofs (suite, verdict, catalog_digest, offenders, rules_run, started_at, finished_at)"
        " values ('tenant_isolation', 'green', 'x', %s, %s, now(), now())"
    )
    for offenders, rules in (("[]", 0), (OFFENDERS, 3)):
        with pytest.raises(errors.CheckViolation), auditor.transaction():
            auditor.execute(query, (offenders, rules))


@pytest.mark.parametrize("role", ["loader", "transformer", "migrator"])
def test_whoever_publishes_may_ask(connect: Any, role: str) -> None:
    with connect(role) as connection:
        assert len(connection.execute("select * from platform.gate_state()").fetchall()) == 2


def test_a_role_that_row_security_would_show_nothing_is_refused(connect: Any) -> None:
    with connect("superuser") as connection:
        prove(connection, "tenant_isolation")
        prove(connection, "geo_residency")
        connection.execute("set local role owner")
        with pytest.raises(errors.InsufficientPrivilege, match="role owner is subject to row security"):
            assert_open(connection)
        connection.rollback()


@pytest.mark.parametrize("role", ["loader", "transformer", "app"])
def test_who_is_gated_records_and_removes_no_verdict(connect: Any, role: str) -> None:
    with connect(role) as connection:
        with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
            prove(connection, "tenant_isolation", digest="x")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("delete from platform.proofs")
