import dagster as dg
import psycopg
import pytest

from orchestration.cells.routing import CellUnavailableError
from orchestration.defs.network_faults import NETWORK_RETRY, is_transient, only_network_retried


@pytest.mark.parametrize(
    "error",
    [
        CellUnavailableError("na is down"),
        psycopg.OperationalError("the connection is closed"),
        psycopg.errors.AdminShutdown("terminating connection"),
        psycopg.errors.DeadlockDetected("deadlock"),
        psycopg.errors.TooManyConnections("too many"),
    ],
)
def test_a_lost_server_is_worth_another_try(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [psycopg.errors.DiskFull("no space"), psycopg.errors.UniqueViolation("duplicate"), ValueError("a bad row")],
)
def test_bad_input_is_as_bad_the_second_time(error: Exception) -> None:
    assert not is_transient(error)


def attempts(error: Exception) -> int:
    """Run an asset that raises ``error`` and return how often Dagster tried it."""
    tried = []

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
    def failing() -> None:
        tried.append(1)
        with only_network_retried():
            raise error

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([failing], instance=instance, raise_on_error=False)
    assert not result.success
    return len(tried)


def test_dagster_repeats_only_what_the_network_failed() -> None:
    assert attempts(CellUnavailableError("na is down")) == 3
    assert attempts(psycopg.OperationalError("the connection is closed")) == 3
    assert attempts(ValueError("row 7 cannot be parsed")) == 1


def test_a_database_errors_detail_stays_out_of_the_event_log() -> None:
    with pytest.raises(dg.Failure) as failure, only_network_retried():
        raise psycopg.errors.UniqueViolation("duplicate key\nDETAIL: Key (email)=(a@b.c) already exists.")
    assert "a@b.c" not in str(failure.value.description)
    assert failure.value.__cause__ is None


def test_retries_back_off_and_scatter() -> None:
    assert NETWORK_RETRY.backoff == dg.Backoff.EXPONENTIAL
    assert NETWORK_RETRY.jitter is not None
