from datetime import UTC, date, datetime
from typing import Any

import pytest

from orchestration.lifecycle.filling import CellState, DayRange, Fill, fill, fill_global, gap_of, missing_days
from orchestration.lifecycle.graphql import DagsterGraphQL
from orchestration.lifecycle.runs import RunState
from orchestration.lifecycle.start import full_days
from orchestration.loading.window import EmptyPartitionRangeError, Window

DAYS = DayRange(date(2026, 3, 1), date(2026, 3, 5))


def node(path: str, *, built: list[tuple[str, str, str]] | None = None, partitioned: bool = True) -> dict[str, Any]:
    ranges = [{"startKey": first, "endKey": last, "status": status} for first, last, status in built or []]
    return {
        "assetKey": {"path": path.split("/")},
        "isMaterializable": True,
        "isPartitioned": partitioned,
        "assetMaterializations": [{"timestamp": "1"}] if built else [],
        "assetPartitionStatuses": {"ranges": ranges},
    }


def test_an_inverted_range_of_days_is_an_error() -> None:
    with pytest.raises(EmptyPartitionRangeError, match="inverted"):
        DayRange(date(2026, 3, 2), date(2026, 3, 1))


def test_a_range_of_one_day_is_that_day() -> None:
    assert list(DayRange(date(2026, 3, 1), date(2026, 3, 1))) == [date(2026, 3, 1)]


def test_days_to_fill_end_yesterday() -> None:
    days = full_days(Window("small", date(2026, 3, 1)), datetime(2026, 3, 31, 0, 5, tzinfo=UTC))
    assert days == DayRange(date(2026, 3, 1), date(2026, 3, 30))


def test_a_failed_day_is_missing() -> None:
    built = [
        {"startKey": "2026-03-01", "endKey": "2026-03-02", "status": "MATERIALIZED"},
        {"startKey": "2026-03-03", "endKey": "2026-03-03", "status": "FAILED"},
        {"startKey": "2026-03-04", "endKey": "2026-03-05", "status": "MATERIALIZED"},
    ]
    assert missing_days(built, DAYS) == [date(2026, 3, 3)]


def test_nothing_is_missing_when_every_asset_has_every_day() -> None:
    everything = [("2026-03-01", "2026-03-05", "MATERIALIZED")]
    assert gap_of([node("na/a", built=everything), node("na/b", built=everything, partitioned=False)], DAYS) is None


def test_the_gap_reaches_from_the_first_missing_day_of_any_asset_to_the_last() -> None:
    gap = gap_of(
        [
            node("na/a", built=[("2026-03-01", "2026-03-03", "MATERIALIZED")]),
            node("na/b", built=[("2026-03-01", "2026-03-02", "MATERIALIZED")]),
            node("na/c", built=[("2026-03-01", "2026-03-05", "MATERIALIZED")]),
        ],
        DAYS,
    )
    assert gap is not None
    assert gap.days == DayRange(date(2026, 3, 3), date(2026, 3, 5))
    assert gap.assets == (("na", "a"), ("na", "b"))


def test_an_asset_without_partitions_that_was_never_built_needs_all_days() -> None:
    gap = gap_of([node("na/a", partitioned=False)], DAYS)
    assert gap is not None
    assert gap.days == DAYS


class Reports:
    """A reporter that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, title: str) -> Any:
        raise NotImplementedError(title)

    def runs(self, states: object) -> None:
        pass


class FakeDagster(DagsterGraphQL):
    """A webserver of three cells: what is missing, what is running, and how each launched run ends."""

    missing: set[str]
    running: list[RunState]
    ends: dict[str, str]
    launched: list[tuple[str, dict[str, str], Any]]

    def query(self, document: str, **variables: Any) -> dict[str, Any]:  # noqa: PLR0911 -- one per query
        if "assetNodes" in document:
            cell = variables["job"]["pipelineName"].removeprefix("refresh_")
            built = [] if cell in self.missing else [("2026-03-01", "2026-03-05", "MATERIALIZED")]
            return {"assetNodes": [node(f"{cell}/a", built=built)]}
        if "assetNodeAdditionalRequiredKeys" in document:
            return {"assetNodeAdditionalRequiredKeys": [{"path": ["na", "with_a"]}]}
        if "launchRun" in document:
            params = variables["params"]
            tags = {tag["key"]: tag["value"] for tag in params["executionMetadata"]["tags"]}
            self.launched.append((params["selector"]["jobName"], tags, params["selector"].get("assetSelection")))
            return {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": f"run{len(self.launched)}"}}}
        if "executionPlan" in document:
            return {"runsOrError": {"results": [{"runId": i, "executionPlan": None} for i in variables["ids"]]}}
        if "stepStats" in document:
            return {"runsOrError": {"results": [self._ended(run_id) for run_id in variables["ids"]]}}
        if "eventConnection" in document:
            event = {"__typename": "ExecutionStepFailureEvent", "stepKey": "s", "error": {"message": "E: no\nmore"}}
            return {"runOrError": {"eventConnection": {"events": [event], "hasMore": False, "cursor": ""}}}
        return {
            "runsOrError": {
                "results": [
                    {"runId": run.run_id, "jobName": run.job, "status": run.status, "tags": []} for run in self.running
                ]
            }
        }

    def _ended(self, run_id: str) -> dict[str, Any]:
        known = [(f"run{number}", job, tags) for number, (job, tags, _) in enumerate(self.launched, start=1)]
        known += [(run.run_id, run.job, {"capstone/cell": run.job.partition("_")[2]}) for run in self.running]
        job, tags = next((job, tags) for identity, job, tags in known if identity == run_id)
        return {
            "runId": run_id,
            "jobName": job,
            "status": self.ends.get(job, "SUCCESS"),
            "startTime": 1.0,
            "endTime": 2.0,
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
            "stepStats": [],
        }


def dagster(*missing: str, running: list[RunState] | None = None, **ends: str) -> FakeDagster:
    fake = FakeDagster(1)
    for name, value in (("missing", set(missing)), ("running", running or []), ("ends", ends), ("launched", [])):
        object.__setattr__(fake, name, value)
    return fake


def run_fill(fake: FakeDagster, *, closed: set[str] | None = None, pending: set[str] | None = None) -> Fill:
    shut = closed if closed is not None else set()
    state = CellState(lambda cell: cell not in shut, lambda cell: cell in (pending or set()))
    return fill(fake, DAYS, state, Reports(), say=lambda _: None, still_served=lambda: None)


def test_a_filled_and_proven_platform_launches_nothing() -> None:
    fake = dagster()
    assert run_fill(fake) == Fill([], [])
    assert fake.launched == []


def test_each_cell_that_lacks_something_gets_one_run_over_its_missing_days() -> None:
    fake = dagster("na", "eu")
    run_fill(fake)
    tags = {
        "dagster/priority": "1",
        "dagster/asset_partition_range_start": "2026-03-01",
        "dagster/asset_partition_range_end": "2026-03-05",
    }
    assert [(job, found) for job, found, _ in fake.launched] == [
        ("refresh_na", {"capstone/cell": "na", **tags}),
        ("refresh_eu", {"capstone/cell": "eu", **tags}),
    ]


def test_a_refresh_builds_what_is_missing_with_the_gate_before_it_and_what_is_built_in_the_same_op() -> None:
    fake = dagster("na")
    run_fill(fake)
    ((_, _, assets),) = fake.launched
    assert [asset["path"] for asset in assets] == [["na", "a"], ["na", "governance", "gate"], ["na", "with_a"]]


def test_a_cell_whose_gate_is_closed_after_its_refresh_is_proven() -> None:
    fake = dagster("na")
    run_fill(fake, closed={"na"})
    assert [job for job, _, _ in fake.launched] == ["refresh_na", "proof_na"]


def test_a_proof_that_leaves_the_gate_closed_is_not_repeated() -> None:
    fake = dagster()
    run_fill(fake, closed={"eu"})
    assert [job for job, _, _ in fake.launched] == ["proof_eu"]


def test_a_proof_that_a_sensor_has_queued_is_followed_instead_of_doubled() -> None:
    fake = dagster(running=[RunState("queued", "proof_eu", "QUEUED")])
    outcome = run_fill(fake, closed={"eu"})
    assert fake.launched == []
    assert [run.run_id for run in outcome.finished] == ["queued"]


def test_new_migrations_launch_the_schemas_of_their_cell_only() -> None:
    fake = dagster()
    run_fill(fake, pending={"apac"})
    ((job, tags, assets),) = fake.launched
    assert (job, tags) == ("__ASSET_JOB", {"capstone/cell": "apac"})
    assert assets[0]["path"] == ["apac", "platform", "schema"]
    assert {asset["path"][0] for asset in assets} == {"apac"}


def test_models_that_came_with_migrations_are_built_after_these() -> None:
    fake = dagster("na")
    run_fill(fake, pending={"na"})
    assert [job for job, _, _ in fake.launched] == ["__ASSET_JOB", "refresh_na"]


def fill_the_global_marts(fake: FakeDagster, filled: Fill) -> Fill:
    fill_global(fake, DAYS, filled, Reports(), say=lambda _: None, still_served=lambda: None)
    return filled


def test_the_global_marts_are_left_alone_when_they_are_there_and_no_cell_was_filled() -> None:
    fake = dagster()
    assert fill_the_global_marts(fake, Fill()) == Fill([], [])
    assert fake.launched == []


def test_the_global_marts_are_built_when_they_never_were() -> None:
    fake = dagster("global")
    filled = fill_the_global_marts(fake, Fill())
    assert [(job, tags) for job, tags, _ in fake.launched] == [("refresh_global", {})]
    assert [run.job for run in filled.finished] == ["refresh_global"]


def test_the_global_marts_are_looked_at_again_when_a_cell_was_filled_and_a_failure_is_told() -> None:
    fake = dagster(refresh_global="FAILURE")
    filled = fill_the_global_marts(fake, Fill([RunState("r", "refresh_na", "SUCCESS")], []))
    assert [job for job, _, _ in fake.launched] == ["refresh_global"]
    assert len(filled.failures) == 1


def test_a_refresh_under_way_is_followed_instead_of_doubled() -> None:
    fake = dagster("na", running=[RunState("old", "refresh_na", "STARTED")])
    outcome = run_fill(fake)
    assert fake.launched == []
    assert [run.run_id for run in outcome.finished] == ["old"]


def test_a_failed_refresh_is_told_with_its_step_and_the_first_line_of_its_error() -> None:
    fake = dagster("na", refresh_na="FAILURE")
    outcome = run_fill(fake, closed={"na"})
    assert [str(failure) for failure in outcome.failures] == ["run run1: step s failed: E: no"]
    assert [job for job, _, _ in fake.launched] == ["refresh_na"]
