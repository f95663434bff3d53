"""The verbs of a tenant's life through Dagster's jobs and the command line, and one killed with -9 in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from orchestration.cells.regions import CELLS
from orchestration.defs.operations.tenant_jobs import tenant_job
from orchestration.settings import get_settings
from orchestration.tenancy import compaction
from orchestration.tenancy.erasing import remains
from orchestration.tenancy.registry import UnknownTenantError, find
from orchestration.tenancy.steps import open_operation_of
from orchestration.tenant_cli import tenant_app
from tests.integration.tenancy.life.conftest import LifeCells
from tests.integration.tenancy.life.merchants import open_merchant
from tests.integration.tenancy.life.test_moves import rows_of, writable_homes

DEADLINE_SECONDS = 60.0


@pytest.fixture(scope="module")
def environment(life: LifeCells) -> Iterator[dict[str, str]]:
    """The environment names the cells of this module, as it names a platform's."""
    own = {"CAPSTONE_HOME": str(life.settings.home)}
    for cell in CELLS:
        for name in (f"dsn_{cell}", f"redis_url_{cell}"):
            own[f"CAPSTONE_{name.upper()}"] = getattr(life.settings, name).get_secret_value()
        life.execute(cell, "insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0)")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        yield own
    get_settings.cache_clear()


def run(verb: str, **config: Any) -> tuple[dg.ExecuteInProcessResult, str]:
    """Run a verb's job; return its result and its log."""
    with dg.instance_for_test() as instance:
        result = tenant_job(verb).execute_in_process(
            run_config={"ops": {f"{verb}_tenant": {"config": config}}}, instance=instance, raise_on_error=False
        )
        records = instance.all_logs(result.run_id)
    failures = [str(event.event_specific_data) for event in result.all_events if event.is_step_failure]
    return result, "\n".join([*(record.user_message or record.message for record in records), *failures])


@pytest.mark.usefixtures("environment")
def test_each_verb_is_a_job_that_says_how_far_it_is(life: LifeCells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "recycle_write_ahead_log", lambda *_: "left out")

    def done(verb: str, **config: Any) -> str:
        result, log = run(verb, **config)
        assert result.success, log
        return log

    done("create", subdomain="jobs", name="Made by a job", cell="na", model="schema")
    assert find("jobs", "na", life.settings).model == "schema"
    done("suspend", tenant="jobs", reason="unpaid")
    assert find("jobs", "na", life.settings).status == "suspended"
    done("resume", tenant="jobs")
    assert "export 1/3 write: " in done("export", tenant="jobs")
    assert "backup 3/3 verify: " in done("backup", tenant="jobs")
    assert "restore 4/7 replace: " in done("restore", tenant="jobs")
    assert "are the same, by count and checksum" in done("move", tenant="jobs", to_cell="apac", to_model="shared")
    assert find("jobs", None, life.settings).cell == "apac"
    refused, log = run("erase", tenant="jobs", confirm="yes")
    assert not refused.success
    assert "does not repeat `tenant`: nothing was erased" in log
    assert "erase 9/11 prove: nothing is left" in done("erase", tenant="jobs", confirm="jobs")
    unknown, log = run("suspend", tenant="jobs")
    assert not unknown.success
    assert "no tenant 'jobs' in any cell" in log


@pytest.mark.usefixtures("environment")
def test_the_command_line_moves_exports_restores_and_erases(life: LifeCells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "recycle_write_ahead_log", lambda *_: "left out")
    tenant = open_merchant(life, "na")
    before = rows_of(life, tenant)

    def say(*words: str, typed: str | None = None) -> str:
        outcome = CliRunner().invoke(tenant_app, words, input=typed, catch_exceptions=False)
        assert outcome.exit_code == 0, outcome.output
        return outcome.stdout

    exported = json.loads(say("export", tenant.subdomain, "--json"))
    assert exported["rows"]["analytics.events"] == 20
    assert "50 rows" not in say("export", exported["path"], "--verify")
    (Path(exported["path"]) / "saas.users.csv").write_text("changed")
    with pytest.raises(Exception, match="is damaged"):
        say("export", exported["path"], "--verify")
    say("backup", tenant.subdomain, "--days", "3")
    life.execute("na", "delete from ecommerce.cart_items where tenant_id = %s", (tenant.id,))
    say("restore", tenant.subdomain)
    assert rows_of(life, tenant) == before
    assert json.loads(say("move", tenant.subdomain, "--to-cell", "apac", "--json"))["cell"] == "apac"
    with pytest.raises(Exception, match="nothing was erased"):
        say("erase", tenant.subdomain, typed="no\n")
    assert find(tenant.subdomain, "apac", life.settings).status == "active"
    assert "Certificate of erasure" in say("erase", tenant.subdomain, typed=f"{tenant.subdomain}\n")
    with pytest.raises(UnknownTenantError):
        say("erase", tenant.subdomain, "--yes")


# Runs a verb, says when a step begins, and waits there to be killed: in the middle of a step's own transaction.
VICTIM = """
import sys, time
from orchestration.tenancy import row_replacement, moving, erasing, backup, archive
from orchestration.cells import routing

where = sys.argv[1]
def stop(*_, **__):
    print("here", flush=True)
    time.sleep(600)

def after_rows(module, name):
    work = getattr(module, name)
    def wrapped(*args, **kwargs):
        work(*args, **kwargs)
        stop()
    setattr(module, name, wrapped)

if where == "move":
    after_rows(moving, "copy_persons")
    moving.move_tenant(sys.argv[2], to_cell="apac")
elif where == "erase":
    after_rows(erasing, "delete_rows")
    erasing.erase_tenant(sys.argv[2])
elif where == "restore":
    after_rows(backup, "delete_rows")
    backup.restore_tenant(backup.choose_backup(sys.argv[2]))
else:
    after_rows(archive, "_archive")
    from orchestration.tenancy.exporting import export_tenant
    from orchestration.tenancy.registry import find
    export_tenant(find(sys.argv[2]))
"""


def kill_amid(verb: str, subdomain: str, environment: dict[str, str]) -> None:
    """Start the verb in a process of its own and end it with SIGKILL in the middle of a transaction."""
    process = subprocess.Popen(
        [sys.executable, "-c", VICTIM, verb, subdomain], env={**os.environ, **environment}, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def wait_for_the_lock(life: LifeCells, subdomain: str) -> None:
    """Wait until the server has noticed that the process is gone."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    query = "select count(*) from pg_stat_activity where application_name like 'capstone tenant%%'"
    while any(life.value(cell, query) for cell in CELLS):
        assert time.monotonic() < deadline, f"the server holds on to the killed process of {subdomain}"
        time.sleep(0.05)


@pytest.mark.parametrize("verb", ["move", "restore", "erase", "export"])
def test_a_verb_killed_with_minus_9_in_the_middle_of_a_step_is_ended_by_repeating_it(
    life: LifeCells, environment: dict[str, str], verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "recycle_write_ahead_log", lambda *_: "left out")
    tenant = open_merchant(life, "na")
    before = rows_of(life, tenant)
    runner = CliRunner()
    if verb == "restore":
        assert runner.invoke(tenant_app, ["backup", tenant.subdomain]).exit_code == 0
    kill_amid(verb, tenant.subdomain, environment)
    wait_for_the_lock(life, tenant.subdomain)
    assert open_operation_of("na", tenant.id, life.settings) is not None
    assert rows_of(life, tenant) == before
    assert len(writable_homes(life, tenant)) == (1 if verb == "export" else 0)
    words = {"move": ["--to-cell", "apac"], "erase": ["--yes"]}.get(verb, [])
    outcome = runner.invoke(tenant_app, [verb, tenant.subdomain, *words], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    if verb == "erase":
        assert [each for each in remains(tenant.id, "na", settings=life.settings) if each.count] == []
    else:
        assert rows_of(life, find(str(tenant.id), None, life.settings)) == before
    assert open_operation_of("na", tenant.id, life.settings) is None
