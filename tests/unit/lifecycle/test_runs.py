from datetime import UTC, datetime
from typing import Any

import pytest

from orchestration.lifecycle import runs
from orchestration.lifecycle.graphql import DagsterGraphQL
from orchestration.lifecycle.runs import LaunchError, RunFailure, cancel_orphans, failure, follow, launch


class Scripted(DagsterGraphQL):
    """A webserver that gives prepared answers in order, and keeps what it was asked."""

    answers: list[dict[str, Any]]
    asked: list[dict[str, Any]]

    def query(self, document: str, **variables: object) -> dict[str, Any]:
        self.asked.append({"document": document, **variables})
        return self.answers.pop(0)


def scripted(*answers: dict[str, Any]) -> Scripted:
    client = Scripted(1)
    object.__setattr__(client, "answers", list(answers))
    object.__setattr__(client, "asked", [])
    return client


def page(*events: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {"runOrError": {"eventConnection": {"events": list(events), "hasMore": more, "cursor": "next"}}}


def state(run_id: str, status: str) -> dict[str, Any]:
    return {
        "runId": run_id,
        "jobName": "refresh_na",
        "status": status,
        "startTime": 10.0,
        "endTime": 12.5 if status in ("SUCCESS", "FAILURE") else None,
        "tags": [{"key": "capstone/cell", "value": "na"}],
        "stepStats": [{"stepKey": "a", "status": "SUCCESS"}, {"stepKey": "b", "status": "IN_PROGRESS"}],
    }


def test_a_refused_launch_carries_dagsters_reason() -> None:
    client = scripted({"launchRun": {"__typename": "PipelineNotFoundError", "message": "no job refresh_mars\nmore"}})
    with pytest.raises(LaunchError, match=r"refresh_mars was not launched: no job refresh_mars$"):
        launch(client, "refresh_mars", tags={})


def test_a_failure_names_the_first_failing_step_and_the_innermost_error() -> None:
    error = {
        "message": "Error occurred while executing op",
        "causes": [{"message": "outer"}, {"message": "disk full\nx"}],
    }
    client = scripted(
        page({"__typename": "LogMessageEvent"}, more=True),
        page({"__typename": "ExecutionStepFailureEvent", "stepKey": "load", "error": error}),
    )
    assert failure(client, "r") == RunFailure("r", "load", "disk full")


def test_a_run_that_was_cancelled_has_no_failing_step() -> None:
    client = scripted(page({"__typename": "RunCanceledEvent", "message": "Run was cancelled"}))
    assert failure(client, "r") == RunFailure("r", None, "Run was cancelled")


def test_following_ends_when_every_run_has_ended_and_shows_progress() -> None:
    client = scripted(
        {"runsOrError": {"results": [{"runId": "r", "executionPlan": {"steps": [{"key": "a"}, {"key": "b"}]}}]}},
        {"runsOrError": {"results": [state("r", "STARTED")]}},
        {"runsOrError": {"results": [state("r", "SUCCESS")]}},
    )
    shown: list[tuple[int, int, tuple[str, ...]]] = []
    ended = list(
        follow(
            client,
            {"r"},
            lambda states: shown.extend((one.steps_done, one.steps_total, one.running) for one in states),
            lambda: None,
            poll_seconds=0,
        )
    )
    assert [one.seconds for one in ended] == [2.5]
    assert shown[0] == (1, 2, ("b",))


def test_a_run_that_was_deleted_meanwhile_is_not_waited_for() -> None:
    client = scripted({"runsOrError": {"results": []}}, {"runsOrError": {"results": []}})
    (ended,) = follow(client, {"r"}, lambda _: None, lambda: None, poll_seconds=0)
    assert not ended.succeeded


def test_nobody_waits_for_a_run_whose_daemon_has_died() -> None:
    def dead() -> None:
        raise RuntimeError("daemon died")

    client = scripted({"runsOrError": {"results": []}}, {"runsOrError": {"results": [state("r", "QUEUED")]}})
    with pytest.raises(RuntimeError, match="daemon died"):
        list(follow(client, {"r"}, lambda _: None, dead, poll_seconds=0))


def test_orphans_are_the_running_runs_older_than_the_code_server_and_free_their_slots() -> None:
    orphan = {"runId": "r", "jobName": "refresh_na", "status": "STARTED", "tags": []}
    client = scripted({"runsOrError": {"results": [orphan]}}, {"terminateRuns": {}}, {"freeConcurrencySlots": True})
    started = datetime(2026, 3, 1, tzinfo=UTC)
    assert [run.run_id for run in cancel_orphans(client, started)] == ["r"]
    wanted = client.asked[0]["filter"]
    assert wanted["updatedBefore"] == started.timestamp()
    assert "QUEUED" not in wanted["statuses"]
    assert client.asked[2]["id"] == "r"


def test_without_orphans_nothing_is_cancelled() -> None:
    client = scripted({"runsOrError": {"results": []}})
    assert runs.cancel_orphans(client, datetime(2026, 3, 1, tzinfo=UTC)) == []
    assert len(client.asked) == 1
