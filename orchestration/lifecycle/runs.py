"""Dagster runs as this platform uses them: launch, follow to the end, explain a failure, clear what a crash left."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestration.lifecycle.dagster_home import LOCATION, REPOSITORY
from orchestration.lifecycle.graphql import DagsterGraphQL, GraphQLError

ASSET_JOB = "__ASSET_JOB"
CELL_TAG = "capstone/cell"
PRIORITY_TAG = "dagster/priority"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"

ACTIVE = ("NOT_STARTED", "STARTING", "STARTED", "CANCELING")
UNFINISHED = ("QUEUED", *ACTIVE)

# Each look makes the webserver read the runs' step events: often enough for a live line, seldom enough not to compete
# with the runs for two cores.
POLL_SECONDS = 2.0
_EVENT_PAGE = 1000

_LAUNCH = """
mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on PipelineNotFoundError { message }
    ... on InvalidSubsetError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
_PLANS = """
query($ids: [String]) {
  runsOrError(filter: {runIds: $ids}) {
    ... on Runs { results { runId executionPlan { steps { key } } } }
  }
}
"""
_STATES = """
query($ids: [String]) {
  runsOrError(filter: {runIds: $ids}) {
    __typename
    ... on PythonError { message }
    ... on Runs {
      results { runId jobName status startTime endTime tags { key value } stepStats { stepKey status } }
    }
  }
}
"""
_UNFINISHED = """
query($filter: RunsFilter) {
  runsOrError(filter: $filter) {
    __typename
    ... on PythonError { message }
    ... on Runs { results { runId jobName status tags { key value } } }
  }
}
"""
_EVENTS = """
query($id: ID!, $cursor: String, $limit: Int!) {
  runOrError(runId: $id) {
    __typename
    ... on Run {
      eventConnection(afterCursor: $cursor, limit: $limit) {
        cursor
        hasMore
        events {
          __typename
          ... on ExecutionStepFailureEvent { stepKey error { message causes { message } } }
          ... on RunFailureEvent { message error { message causes { message } } }
          ... on RunCanceledEvent { message }
        }
      }
    }
  }
}
"""
_TERMINATE = """
mutation($ids: [String!]!) {
  terminateRuns(runIds: $ids, terminatePolicy: MARK_AS_CANCELED_IMMEDIATELY) { __typename }
}
"""
_FREE_SLOTS = "mutation($id: String!) { freeConcurrencySlots(runId: $id) }"


class LaunchError(RuntimeError):
    """Dagster refused to launch a run; the message carries its reason."""


@dataclass(frozen=True)
class RunState:
    """One run as it stands.

    Attributes:
        status: Dagster's run status (QUEUED, STARTED, SUCCESS, FAILURE, CANCELED, …).
        steps_done: steps that succeeded, failed or were skipped.
        steps_total: steps of its plan; 0 while the plan is not known.
        running: keys of the steps in progress.
        seconds: time since its start, up to its end; 0 before the start.
    """

    run_id: str
    job: str
    status: str
    tags: Mapping[str, str] = field(default_factory=dict)
    steps_done: int = 0
    steps_total: int = 0
    running: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def cell(self) -> str | None:
        return self.tags.get(CELL_TAG)

    @property
    def finished(self) -> bool:
        return self.status not in UNFINISHED

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCESS"


@dataclass(frozen=True)
class RunFailure:
    """Why a run did not succeed: its first failing step (None: the run as a whole) and that error's first line."""

    run_id: str
    step: str | None
    error: str

    def __str__(self) -> str:
        place = f"step {self.step}" if self.step else "the run"
        return f"run {self.run_id}: {place} failed: {self.error}"


def _tags(entries: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {entry["key"]: entry["value"] for entry in entries}


def launch(
    client: DagsterGraphQL, job: str, *, tags: Mapping[str, str], asset_keys: Sequence[Sequence[str]] | None = None
) -> str:
    """Launch ``job``, or only ``asset_keys`` of it, and return the run id.

    Raises:
        LaunchError: no such job or asset, or Dagster refuses the run.
    """
    selector: dict[str, object] = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "jobName": job}
    if asset_keys is not None:
        selector["assetSelection"] = [{"path": list(path)} for path in asset_keys]
    params = {
        "selector": selector,
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    result = client.query(_LAUNCH, params=params)["launchRun"]
    if result["__typename"] == "LaunchRunSuccess":
        return str(result["run"]["runId"])
    reason = result.get("message") or "; ".join(problem["message"] for problem in result.get("errors", []))
    raise LaunchError(f"{job} was not launched: {first_line(reason) or result['__typename']}")


def first_line(text: str | None) -> str:
    """Return the first line that says something."""
    return next((line.strip() for line in (text or "").splitlines() if line.strip()), "")


def plan_sizes(client: DagsterGraphQL, run_ids: Sequence[str]) -> dict[str, int]:
    """Return how many steps each run has."""
    results = client.query(_PLANS, ids=list(run_ids))["runsOrError"].get("results", [])
    return {run["runId"]: len((run["executionPlan"] or {"steps": []})["steps"]) for run in results}


def _state(run: Mapping[str, Any], steps_total: int) -> RunState:
    done = [step for step in run["stepStats"] if step["status"] in ("SUCCESS", "FAILURE", "SKIPPED")]
    started, ended = run["startTime"], run["endTime"]
    return RunState(
        run_id=run["runId"],
        job=run["jobName"],
        status=run["status"],
        tags=_tags(run["tags"]),
        steps_done=len(done),
        steps_total=steps_total,
        running=tuple(step["stepKey"] for step in run["stepStats"] if step["status"] == "IN_PROGRESS"),
        seconds=(ended or time.time()) - started if started else 0.0,
    )


def states(client: DagsterGraphQL, run_ids: Sequence[str], sizes: Mapping[str, int]) -> dict[str, RunState]:
    """Return the state of each run that exists; ``sizes`` as from :func:`plan_sizes`."""
    answer = client.query(_STATES, ids=list(run_ids))["runsOrError"]
    if "results" not in answer:
        raise GraphQLError(f"the runs cannot be read: {first_line(answer.get('message'))}")
    return {run["runId"]: _state(run, sizes.get(run["runId"], 0)) for run in answer["results"]}


def unfinished(
    client: DagsterGraphQL, statuses: Sequence[str] = UNFINISHED, *, untouched_since: datetime | None = None
) -> list[RunState]:
    """Return the runs in ``statuses``; only those whose status last changed before ``untouched_since`` if given."""
    wanted: dict[str, object] = {"statuses": list(statuses)}
    if untouched_since is not None:
        wanted["updatedBefore"] = untouched_since.timestamp()
    answer = client.query(_UNFINISHED, filter=wanted)["runsOrError"]
    if "results" not in answer:
        raise GraphQLError(f"the runs cannot be read: {first_line(answer.get('message'))}")
    return [RunState(run["runId"], run["jobName"], run["status"], _tags(run["tags"])) for run in answer["results"]]


def follow(
    client: DagsterGraphQL,
    pending: set[str],
    on_progress: Callable[[Sequence[RunState]], None],
    still_served: Callable[[], None],
    poll_seconds: float = POLL_SECONDS,
) -> Iterator[RunState]:
    """Yield each run of ``pending`` as it ends, until none is left; a caller may add runs while it iterates.

    Args:
        client: the webserver's GraphQL interface.
        pending: run ids; finished ones are taken out.
        on_progress: called at each poll with all runs followed so far, the finished ones included.
        still_served: called at each poll; raises when a server the runs need has died, so that nobody waits for ever.
        poll_seconds: time between two looks.
    """
    sizes: dict[str, int] = {}
    seen: dict[str, RunState] = {}
    while pending:
        unsized = [run_id for run_id in pending if not sizes.get(run_id)]
        if unsized:
            sizes.update(plan_sizes(client, unsized))
        current = states(client, sorted(pending), sizes)
        for run_id in pending - current.keys():
            current[run_id] = RunState(run_id, "deleted", "CANCELED")
        seen.update(current)
        on_progress(list(seen.values()))
        ended = [state for state in current.values() if state.finished]
        pending.difference_update(state.run_id for state in ended)
        yield from ended
        if pending and not ended:
            still_served()
            time.sleep(poll_seconds)


def failure(client: DagsterGraphQL, run_id: str) -> RunFailure:
    """Return the first failing step of a run and the first line of what the step itself raised."""
    cursor: str | None = None
    whole_run = RunFailure(run_id, None, "it ended without success and left no error; its log has more")
    while True:
        answer = client.query(_EVENTS, id=run_id, cursor=cursor, limit=_EVENT_PAGE)["runOrError"]
        if "eventConnection" not in answer:
            return whole_run
        page = answer["eventConnection"]
        for event in page["events"]:
            if event["__typename"] == "ExecutionStepFailureEvent":
                return RunFailure(run_id, event["stepKey"], root_cause(event["error"]))
            if event["__typename"] in ("RunFailureEvent", "RunCanceledEvent"):
                error = event.get("error")
                whole_run = RunFailure(run_id, None, root_cause(error) if error else first_line(event["message"]))
        if not page["hasMore"]:
            return whole_run
        cursor = page["cursor"]


def root_cause(error: Mapping[str, Any] | None) -> str:
    """Return the first line of the innermost of an error's causes, which is what the project's own code raised."""
    if not error:
        return "no error was recorded"
    causes = error.get("causes") or []
    return first_line((causes[-1] if causes else error)["message"]) or "an error without a message"


def cancel_orphans(client: DagsterGraphQL, code_server_started: datetime) -> list[RunState]:
    """Cancel every run that claims to be running without a process, free its pool slots, and return those runs.

    Run workers are children of the code server and are ended with it, so a run whose status last changed before the
    present code server started has nobody working on it. Queued runs stay: the daemon launches them.
    """
    orphans = unfinished(client, ACTIVE, untouched_since=code_server_started)
    if orphans:
        client.query(_TERMINATE, ids=[run.run_id for run in orphans])
        for run in orphans:
            client.query(_FREE_SLOTS, id=run.run_id)
    return orphans
