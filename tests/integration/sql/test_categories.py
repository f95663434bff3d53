"""The category tree: its paths follow from its parents, whatever anyone writes."""

from typing import Any

import psycopg
import pytest
from psycopg import errors

from orchestration.cells.tenant_context import tenant_context

Connection = psycopg.Connection[Any]


def add(app: Connection, slug: str, parent: int | None = None) -> int:
    row = app.execute(
        "insert into ecommerce.categories (name, slug, parent_id) values (%s, %s, %s) returning id",
        (slug, slug, parent),
    ).fetchone()
    assert row is not None
    return int(row[0])


def paths(app: Connection) -> list[str]:
    return [row[0] for row in app.execute("select path::text from ecommerce.categories order by path").fetchall()]


@pytest.fixture
def tree(connect: Any, shops: Any) -> dict[str, int]:
    """music > rock > hard-rock, and books, in the first shop."""
    with connect("app") as app, tenant_context(app, shops[0].tenant_id):
        music = add(app, "music")
        rock = add(app, "rock", music)
        return {"music": music, "rock": rock, "hard": add(app, "hard-rock", rock), "books": add(app, "books")}


def test_a_path_leads_from_the_top_to_the_category(connect: Any, shops: Any, tree: dict[str, int]) -> None:
    del tree
    with connect("app") as app, tenant_context(app, shops[0].tenant_id):
        assert paths(app) == ["books", "music", "music.rock", "music.rock.hard_rock"]


def test_a_moved_or_renamed_category_takes_everything_below_along(
    connect: Any, shops: Any, tree: dict[str, int]
) -> None:
    with connect("app") as app, tenant_context(app, shops[0].tenant_id):
        app.execute("update ecommerce.categories set parent_id = %s where id = %s", (tree["books"], tree["rock"]))
        assert paths(app) == ["books", "books.rock", "books.rock.hard_rock", "music"]
        app.execute("update ecommerce.categories set slug = 'texts' where id = %s", (tree["books"],))
        assert paths(app) == ["music", "texts", "texts.rock", "texts.rock.hard_rock"]


def test_a_path_that_is_written_by_hand_is_not_taken_over(connect: Any, shops: Any, tree: dict[str, int]) -> None:
    with connect("app") as app, tenant_context(app, shops[0].tenant_id):
        app.execute("update ecommerce.categories set path = 'elsewhere' where id = %s", (tree["rock"],))
        assert "music.rock" in paths(app)


@pytest.mark.parametrize("target", ["music", "rock", "hard"])
def test_a_category_cannot_move_below_itself(connect: Any, shops: Any, tree: dict[str, int], target: str) -> None:
    with (
        connect("app") as app,
        pytest.raises(errors.CheckViolation, match="below itself"),
        tenant_context(app, shops[0].tenant_id),
    ):
        app.execute("update ecommerce.categories set parent_id = %s where id = %s", (tree[target], tree["music"]))


def test_a_parent_that_does_not_exist_or_is_another_tenants_is_refused(
    connect: Any, shops: Any, tree: dict[str, int]
) -> None:
    with connect("app") as app:
        for tenant, parent in ((shops[0].tenant_id, 10**12), (shops[1].tenant_id, tree["music"])):
            with pytest.raises(errors.ForeignKeyViolation), tenant_context(app, tenant):
                add(app, "lost", parent)


def test_a_bulk_load_gets_its_paths_too(connect: Any, shops: Any) -> None:
    tenant = shops[0].tenant_id
    with connect("loader") as loader:
        with loader.cursor().copy(
            "copy ecommerce.categories (tenant_id, id, name, slug, parent_id) from stdin"
        ) as copy:
            copy.write_row((tenant, 1, "A", "a", None))
            copy.write_row((tenant, 2, "B", "b", 1))
            copy.write_row((tenant, 3, "C", "c", 2))
        rows = loader.execute(
            "select path::text from ecommerce.categories where tenant_id = %s order by id", (tenant,)
        ).fetchall()
        loader.rollback()
    assert rows == [("a",), ("a.b",), ("a.b.c",)]
