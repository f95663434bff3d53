"""Which builds are requested for days that wait to be built again."""

from datetime import UTC, date, datetime, timedelta

import pytest

from orchestration.tenancy.stale_days import Build, StaleDays, builds

SINCE = datetime(2026, 5, 1, tzinfo=UTC)
KNOWN = [date(2026, 3, 1) + timedelta(days=n) for n in range(60)]
LAST = KNOWN[-1]


def stale(*days: date, whole: bool = True, since: datetime | None = SINCE) -> StaleDays:
    return StaleDays("eu", 1, days, whole, since, len(days) + whole, len(days) + whole)


def test_nothing_marked_is_nothing_to_build() -> None:
    assert builds(stale(whole=False, since=None), KNOWN) == []
    assert stale(whole=False, since=None).describe() == "eu: all figures are built"


def test_days_apart_are_builds_of_their_own_and_days_near_to_each_other_one() -> None:
    near, apart = KNOWN[7], KNOWN[15]
    assert builds(stale(KNOWN[0], near, apart), KNOWN) == [Build(KNOWN[0], near), Build(apart, apart)]


def test_a_day_before_all_partitions_is_of_an_old_import_and_needs_a_build_of_all_days() -> None:
    assert builds(stale(date(2024, 2, 29), KNOWN[3]), KNOWN) == [Build(LAST, LAST, all_days=True)]


@pytest.mark.parametrize("more", [0, 1])
def test_a_day_that_has_not_ended_waits_until_it_is_built(more: int) -> None:
    today = LAST + timedelta(days=1 + more)
    assert builds(stale(today, whole=False), KNOWN) == []
    assert builds(stale(KNOWN[2], today), KNOWN) == [Build(KNOWN[2], KNOWN[2])]


def test_figures_without_days_are_built_with_the_newest() -> None:
    assert builds(stale(), KNOWN) == [Build(LAST, LAST)]


def test_who_reads_it_is_told_how_it_is_done_by_hand() -> None:
    said = stale(KNOWN[0], KNOWN[1]).describe()
    assert said.startswith("eu: figures of 1 tenant on 2 days are to be built again, since 2026-05-01")
    assert 'eval "$(capstone env eu)"; dbt build --project-dir dbt_project' in said
