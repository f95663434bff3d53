"""Splitting of SQL files into statements."""

import pytest

from orchestration.migrations.files import DOMAINS, plan
from orchestration.migrations.statements import StatementError, split

BODIES = [
    "select 1",
    "select ';'",
    "select 'it''s; fine'",
    r"select e'\'; still inside'",
    'select ";" from "a;""b"',
    "do $$ begin perform 1; end $$",
    "do $body$ begin perform '$$'; end $body$",
    "select 1 -- not; here\n, 2",
    "select /* not; /* nested; */ here; */ 1",
    "select $1$2",
    "create function f() returns int begin atomic select case when true then 1 end; select 2; end",
    "create or replace procedure p() begin atomic insert into t values (1); end",
    "create table begin_atomic (id int)",
]


@pytest.mark.parametrize("body", BODIES)
def test_a_semicolon_inside_a_string_comment_quote_or_body_ends_no_statement(body: str) -> None:
    assert [statement.text for statement in split(f"{body};\nselect 'next';\n")] == [body, "select 'next'"]


def test_a_statement_knows_its_line_and_first_word() -> None:
    first, second = split("-- a comment\n\nset local role owner;\n/* more */\n  COMMIT\n;")
    assert (first.line, first.first_word, first.controls_transaction) == (3, "set", False)
    assert (second.line, second.first_word, second.controls_transaction) == (5, "commit", True)


def test_a_file_of_comments_has_no_statements() -> None:
    assert split("-- nothing\n/* at all */\n") == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("select 1;\nselect 'open;", 2),
        ('select "open;', 1),
        ("\n\n/* open", 3),
        ("do $$ begin", 1),
        ("select 1;\nselect 2", 2),
    ],
)
def test_what_is_not_closed_is_an_error_that_names_the_line(text: str, line: int) -> None:
    with pytest.raises(StatementError, match=f"^line {line}:"):
        split(text)


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_shipped_migration_splits_and_leaves_transactions_to_the_runner(domain: str) -> None:
    for migration in plan(domain):
        statements = split(migration.text)
        assert statements, migration
        assert not [statement for statement in statements if statement.controls_transaction], migration
