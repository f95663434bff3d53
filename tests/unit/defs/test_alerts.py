import dagster as dg

from orchestration.defs.operations.alerts import alert_of


@dg.asset(key=["na", "ingest", "events"])
def events() -> None:
    try:
        raise ValueError("disk full\nKey (email)=(a@b.c) already exists")
    except ValueError as error:
        raise RuntimeError("the load failed") from error


def test_an_alert_names_the_cell_the_step_and_the_innermost_error() -> None:
    job = dg.define_asset_job("refresh_na", [events], tags={"capstone/cell": "na"})
    resolved = dg.Definitions(assets=[events], jobs=[job]).resolve_job_def("refresh_na")
    with dg.DagsterInstance.ephemeral() as instance:
        result = resolved.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failure_alert",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ).for_run_failure()
        alert = alert_of(context)
    assert (alert.job, alert.cell, alert.step) == ("refresh_na", "na", "na__ingest__events")
    assert alert.error.splitlines()[0] == "ValueError: disk full"
