"""The list of stores is complete and consistent with the declared relations."""

from pathlib import Path

import pytest

from orchestration.cells.relations import DBT_SCHEMAS, load_relations
from orchestration.cells.stores import store, stores
from orchestration.lifecycle.docs_site import DATA_DOCS, DBT_DOCS
from orchestration.proofs.proof import data_docs
from orchestration.settings import Settings


def test_names_are_unique_and_each_store_says_what_it_is() -> None:
    names = [each.name for each in stores()]
    assert len(names) == len(set(names))
    assert all(each.where and each.description for each in stores())


def test_every_relation_of_tenants_or_persons_is_in_a_store() -> None:
    listed = {place for each in stores() if each.medium == "tables" for place in each.where}
    for relation in load_relations():
        if relation.kind in ("tenant", "person") and relation.over is None:
            assert relation.name in listed or relation.schema in listed & set(DBT_SCHEMAS), relation.name


def test_nothing_shared_by_all_cells_holds_rows() -> None:
    assert [each.name for each in stores() if each.scope == "shared" and each.holds == "rows"] == []


def test_files_are_found_per_cell_below_the_state_directory(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert store("exports").paths("eu", settings) == (tmp_path / "exports" / "eu",)
    assert (settings.docs / DATA_DOCS.format(cell="eu")).parent in store("data docs").paths("eu", settings)
    assert data_docs("eu", settings).store in store("data docs").paths("eu", settings)
    assert (settings.docs / DBT_DOCS.format(cell="eu")).parent in store("dbt docs").paths("eu", settings)


def test_what_is_no_file_has_no_path() -> None:
    with pytest.raises(ValueError, match="is in redis"):
        store("counters").paths("na")
    with pytest.raises(KeyError, match="no store is called 'attic'"):
        store("attic")
