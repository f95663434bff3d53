"""A failed run raises an alert: a line in the platform's alert file, and an error in the daemon's log."""

from datetime import UTC, datetime

import dagster as dg

from orchestration.lifecycle.alerts import Alert, append
from orchestration.settings import get_settings


def alert_of(context: dg.RunFailureSensorContext) -> Alert:
    """Return the alert of a failed run: its first failing step and the innermost error's first line."""
    run = context.dagster_run
    step, error = None, context.failure_event.message or "the run failed"
    for event in context.get_step_failure_events():
        step = event.step_key
        cause = event.step_failure_data.error
        while cause is not None and cause.cause is not None:
            cause = cause.cause
        error = cause.message if cause else error
        break
    return Alert(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        run_id=run.run_id,
        job=run.job_name,
        cell=run.tags.get("capstone/cell"),
        step=step,
        error=error,
    )


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Appends every failed run to logs/alerts.jsonl in the state directory, for a pager to follow.",
)
def run_failure_alert(context: dg.RunFailureSensorContext) -> None:
    """Record the failure."""
    alert = alert_of(context)
    append(alert, get_settings())
    context.log.error(f"{alert.job} failed in {alert.step or 'the run itself'}: {alert.error.partition(chr(10))[0]}")
