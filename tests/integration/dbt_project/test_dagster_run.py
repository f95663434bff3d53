"""A cell's models materialized by Dagster: events, checks, partitions, metadata, and a failure that is not retried."""

from collections.abc import Callable
from datetime import date

import dagster as dg
import psycopg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from psycopg.rows import TupleRow

from orchestration.cells import endpoints
from orchestration.cells.regions import Cell
from orchestration.dbt.manifest import read_manifest
from orchestration.defs.transform.assets import cell_models, models
from orchestration.defs.transform.docs import docs_asset
from orchestration.defs.transform.project import MANIFEST

Connection = psycopg.Connection[TupleRow]
CELL: Cell = "na"
FUNNEL = dg.AssetKey([CELL, "marts", "fct_funnel"])
COHORTS = dg.AssetKey([CELL, "marts", "fct_cohort_retention"])
CONVERSION = dg.AssetKey([CELL, "marts", "fct_funnel_conversion"])
USER_PATHS = dg.AssetKey([CELL, "marts", "fct_user_paths"])
DAYS = ("2026-03-02", "2026-03-03", "2026-03-04")


pytestmark = pytest.mark.usefixtures("database")


def materialize(
    instance: dg.DagsterInstance, first: str, last: str, *, selection: dg.AssetSelection | None = None
) -> dg.ExecuteInProcessResult:
    definitions = dg.Definitions(
        assets=[cell_models(CELL), docs_asset(CELL)],
        jobs=[dg.define_asset_job("all", selection=selection or dg.AssetSelection.all())],
        executor=dg.in_process_executor,
    )
    return definitions.resolve_job_def("all").execute_in_process(
        instance=instance,
        raise_on_error=False,
        tags={ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last},
    )


def test_a_range_of_days_is_one_run_with_events_checks_and_pictures(
    database: Connection, prove: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    prove()
    with dg.DagsterInstance.ephemeral() as instance:
        done = materialize(instance, DAYS[0], DAYS[-1])
        assert done.success
        assert instance.get_materialized_partitions(FUNNEL) == set(DAYS)
        found = {event.asset_key: event.materialization for event in done.get_asset_materialization_events()}
    # Every model, and the documentation.
    assert len(found) == len(models(read_manifest(MANIFEST))) + 1
    assert "data:image/png;base64," in str(found[FUNNEL].metadata["funnel"].value)
    assert "data:image/png;base64," in str(found[CONVERSION].metadata["conversion"].value)
    assert "| (entry) |" in str(found[USER_PATHS].metadata["most frequent transitions"].value)
    assert "data:image/png;base64," in str(found[COHORTS].metadata["retention: first_purchase"].value)
    stored = database.execute("select count(*) from marts.fct_cohort_retention").fetchone()
    assert stored == (found[COHORTS].metadata["dagster/row_count"].value,)
    checks = done.get_asset_check_evaluations()
    assert len(checks) > 50
    assert all(check.passed for check in checks)
    assert "fct_funnel_steps_never_increase" in {check.check_name for check in checks}
    # Neither the compute log nor an event shows a password.
    assert endpoints.password("transformer") not in "".join(capfd.readouterr()) + repr(done.all_events)


def test_a_closed_gate_fails_the_run_at_once_and_says_why(prove: Callable[..., None]) -> None:
    prove("red")
    with dg.DagsterInstance.ephemeral() as instance:
        done = materialize(instance, DAYS[0], DAYS[0])
        assert not done.success
        assert not done.get_asset_materialization_events()
        assert not [event for event in done.all_events if event.is_step_up_for_retry]
        failures = [event for event in done.all_events if event.is_step_failure]
    assert failures[0].step_failure_data.error is not None
    assert "the gate of cell 'na' is closed" in failures[0].step_failure_data.error.message


def test_an_inverted_range_is_an_error(prove: Callable[..., None]) -> None:
    prove()
    with dg.DagsterInstance.ephemeral() as instance:
        try:
            done = materialize(instance, DAYS[-1], DAYS[0])
        except dg.DagsterError:
            return
        assert not done.success


def test_one_day_touches_only_the_rows_that_it_can_change(database: Connection, prove: Callable[..., None]) -> None:
    prove()
    database.execute("update marts.fct_funnel set users_entered = -1")
    with dg.DagsterInstance.ephemeral() as instance:
        selection = dg.AssetSelection.assets(FUNNEL).without_checks()
        assert materialize(instance, DAYS[2], DAYS[2], selection=selection).success
    touched = "select funnel, array_agg(distinct day) from marts.fct_funnel where users_entered > 0 group by funnel"
    days: dict[str, list[date]] = dict(database.execute(touched).fetchall())
    # A window of a day reaches one day back, one of a week all of them.
    assert days["purchase"] == [date(2026, 3, 3), date(2026, 3, 4)]
    assert days["visit_to_purchase"] == [date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 4)]
