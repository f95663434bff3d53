"""Imported files in Dagster: each is a partition of its cell's asset ``<cell>/ingest/imports``.

The import itself runs where its file is, in `capstone import`, and needs no Dagster; that it happened is reported to
the webserver afterwards. What could not be reported is, when the command is repeated: it imports nothing twice.
"""

import http.client
import json
from datetime import datetime
from typing import TYPE_CHECKING

from orchestration.cells.regions import Cell
from orchestration.lifecycle.dagster_home import LOCATION, REPOSITORY
from orchestration.lifecycle.graphql import DagsterGraphQL, GraphQLError, WebserverUnavailableError

if TYPE_CHECKING:
    from orchestration.loading.event_import import ImportReport

_ADD_PARTITION = """
mutation($name: String!, $key: String!, $repository: RepositorySelector!) {
  addDynamicPartition(partitionsDefName: $name, partitionKey: $key, repositorySelector: $repository) {
    __typename
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}
"""
_ADDED = ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError")


def imports_partitions(cell: Cell) -> str:
    """Return the name of the partitions that a cell's imported files are."""
    return f"imports_{cell}"


def _moment(value: datetime | None) -> str:
    return value.isoformat(timespec="seconds") if value is not None else "none"


def import_metadata(report: "ImportReport") -> dict[str, int | float | str]:
    """Return what is told of an import: counts and names, no value of the file and no tenant's."""
    return {
        "dagster/partition_row_count": report.rows_loaded,
        "mapping": report.mapping,
        "rows read": report.rows_read,
        "rows loaded": report.rows_loaded,
        "rows loaded into history": report.rows_history,
        "rows repeated": report.rows_repeated,
        "rows rejected": report.rows_rejected,
        "first event": _moment(report.first_time),
        "last event": _moment(report.last_time),
        "rejected lines and why": "platform.load_rejects, of the load that this partition is named after",
        "duration (s)": round(report.seconds, 3),
    }


def record_import(client: DagsterGraphQL, report: "ImportReport") -> None:
    """Report a finished import as a materialization of its partition.

    Raises:
        WebserverUnavailableError: the webserver does not answer.
        GraphQLError: it refuses.
    """
    repository = {"repositoryName": REPOSITORY, "repositoryLocationName": LOCATION}
    key = str(report.load_id)
    added = client.query(_ADD_PARTITION, name=imports_partitions(report.cell), key=key, repository=repository)
    outcome = added["addDynamicPartition"]
    if outcome["__typename"] not in _ADDED:
        raise GraphQLError(
            f"the webserver does not take the partition: {outcome.get('message', outcome['__typename'])}"
        )
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=client.timeout_seconds)
    try:
        connection.request(
            "POST",
            f"/report_asset_materialization/{report.cell}/ingest/imports",
            json.dumps(
                {"metadata": import_metadata(report), "partition": key, "description": "imported by `capstone import`"}
            ),
            {"Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise WebserverUnavailableError(
            f"the Dagster webserver at 127.0.0.1:{client.port} does not answer ({error or type(error).__name__}): "
            "start it with `capstone up`"
        ) from None
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise GraphQLError(f"the webserver refused the materialization with status {answer.status}")
