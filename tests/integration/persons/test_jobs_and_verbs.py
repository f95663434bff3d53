"""The command line and Dagster do for a person what the library does, and say nothing of them."""

import json
import secrets
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from orchestration.cli import app
from orchestration.defs.operations.person_jobs import person_job
from orchestration.persons.whereabouts import UnknownPersonError, locate
from tests.integration.persons.people import someone
from tests.integration.tenancy.life.conftest import LifeCells

pytestmark = pytest.mark.usefixtures("environment", "brief")


def command(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["person", *arguments], input=given)


def run(verb: str, **config: Any) -> tuple[dg.ExecuteInProcessResult, str]:
    """Run a verb's job; return its result and its log."""
    with dg.instance_for_test() as instance:
        result = person_job(verb).execute_in_process(
            run_config={"ops": {f"{verb}_person": {"config": config}}}, instance=instance, raise_on_error=False
        )
        records = instance.all_logs(result.run_id)
    failures = [str(event.event_specific_data) for event in result.all_events if event.is_step_failure]
    return result, "\n".join([*(record.user_message or record.message for record in records), *failures])


def test_the_command_line_names_a_person_by_id_or_by_an_address_that_is_no_argument(life: LifeCells) -> None:
    person = someone(life, "eu", mark=secrets.token_hex(8), models=("shared",))
    by_id = command("access", str(person.id), "--json")
    assert by_id.exit_code == 0, by_id.output
    by_address = command("access", "--email-from", "-", "--cell", "eu", "--json", given=f"{person.email}\n")
    said = json.loads(by_address.stdout)
    assert said["rows"] == json.loads(by_id.stdout)["rows"]
    assert person.mark not in by_address.output
    assert command("access", "--verify", said["path"]).exit_code == 0
    for arguments, reason in (
        (["access"], "give the person's id"),
        (["access", str(person.id), "--email-from", "-"], "give the person's id"),
        (["access", "--email-from", "-"], "give --cell"),
        (["access", person.email], "a person is named by id"),
        (["access", "--email-from", "/nowhere", "--cell", "eu"], "/nowhere cannot be read as text"),
    ):
        refused = command(*arguments, given=person.email)
        assert refused.exit_code != 0
        assert reason in str(refused.exception)
        assert person.mark not in str(refused.exception)


def test_the_command_line_moves_asks_before_it_erases_and_lists_what_was_done(life: LifeCells) -> None:
    person = someone(life, "na", mark=secrets.token_hex(8), models=("shared",))
    refused = command("move", str(person.id), "--to-region", "eu")
    assert "needs the person's consent" in str(refused.exception)
    moved = command("move", str(person.id), "--to-region", "eu", "--consent", "2026-11", "--json")
    assert json.loads(moved.stdout) == {"person": str(person.id), "region": "eu", "cells": ["eu"]}
    no = command("erase", str(person.id), given="yes\n")
    assert "nothing was erased" in str(no.exception)
    assert locate(person.id, life.settings).cells == ("eu",)
    erased = command("erase", str(person.id), given=f"{person.id}\n")
    assert erased.exit_code == 0, erased.output
    assert "Certificate of erasure of a person" in erased.stdout
    with pytest.raises(UnknownPersonError):
        locate(person.id, life.settings)
    listed = json.loads(command("operations", "--json").stdout)
    assert {"erase", "move"} <= {each["verb"] for each in listed}
    assert str(person.id) not in json.dumps(listed)
    assert person.mark not in json.dumps(listed)
    assert "erase" in command("operations").stdout


def test_each_verb_is_a_job_that_says_how_far_it_is_and_nothing_of_the_person(life: LifeCells) -> None:
    person = someone(life, "na", mark=secrets.token_hex(8), models=("shared",))
    result, log = run("access", person=str(person.id))
    assert result.success, log
    assert "access 2/4 publish" in log
    result, log = run("move", person=str(person.id), to_region="apac", consent="2026-11")
    assert result.success, log
    assert "move 5/9 arrive: is of region apac in cell apac" in log
    assert person.mark not in log
    result, log = run("erase", person=str(person.id), confirm="yes")
    assert not result.success
    assert "`confirm` does not repeat `person`: nothing was erased" in log
    result, log = run("erase", person=str(person.id), confirm=str(person.id))
    assert result.success, log
    assert "erase 8/10 prove: nothing is left in" in log
    assert person.mark not in log
    metadata = next(event for event in result.all_events if event.is_successful_output).step_output_data.metadata
    assert person.mark not in str(metadata)
