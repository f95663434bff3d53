"""No store and no relation with personal columns is missing from what is done to a person."""

from typing import get_args

import pytest

from orchestration.cells.relations import Edition, load_relations
from orchestration.cells.stores import stores
from orchestration.persons.erasing import ERASED_BY, NOT_ERASED, REASONS
from orchestration.persons.notices import notices
from orchestration.persons.personal_rows import KEPT_TWICE, NOBODYS, OF_ACCOUNT, OF_PERSON, OF_USER


def test_every_store_has_a_notice_and_no_notice_is_of_no_store() -> None:
    assert notices().keys() == {each.name for each in stores()}


def test_no_store_that_holds_rows_of_persons_is_left_out_of_a_bundle_without_saying_where_they_are() -> None:
    rows = {each.name for each in stores() if each.holds == "rows"}
    assert {name for name, notice in notices().items() if notice.access == "none" and name in rows} == {
        "chunks",
        "usage",
        "parked rows",
        "write-ahead log and dead rows",
        "replication",
        "redis files",
        "database files",
    }


@pytest.mark.parametrize("edition", get_args(Edition))
def test_every_relation_with_personal_columns_is_looked_into_or_excused(edition: Edition) -> None:
    personal = {each.name for each in load_relations(edition) if each.identifying and each.relkind != "view"}
    known = OF_PERSON.keys() | OF_ACCOUNT.keys() | OF_USER.keys()
    assert personal - known - NOBODYS.keys() == set(), "rows about persons that nobody exports or erases"
    assert known & NOBODYS.keys() == set()
    assert OF_USER.keys() >= KEPT_TWICE


def test_every_store_is_erased_by_a_step_or_has_a_reason_and_none_has_both() -> None:
    names = {each.name for each in stores()}
    assert names - ERASED_BY.keys() - NOT_ERASED.keys() == set(), "a store that nobody erases and nobody excuses"
    assert (ERASED_BY.keys() | NOT_ERASED.keys()) - names == set(), "an eraser or a reason of no store"
    assert ERASED_BY.keys() & NOT_ERASED.keys() == set()
    assert all(NOT_ERASED.values())
    assert all(REASONS.values())


def test_what_holds_rows_and_is_not_erased_has_an_end() -> None:
    assert {each.name for each in stores() if each.holds == "rows" and each.name in NOT_ERASED} == {
        "usage",
        "parked rows",
        "replication",
        "backups",
    }


def test_what_is_looked_into_is_declared() -> None:
    declared = {each.name for each in load_relations()}
    assert (OF_PERSON.keys() | OF_ACCOUNT.keys() | OF_USER.keys() | NOBODYS.keys()) - declared == set()
