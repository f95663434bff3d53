"""`capstone tenant …` says what it did, and what is wrong with what it was asked, without a traceback."""

import json
from typing import Any
from uuid import uuid4

import pytest

from orchestration import cli, tenant_cli


@pytest.fixture
def capstone(models: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `capstone tenant` against the module's cells; return exit code, output and errors."""
    monkeypatch.setattr(tenant_cli, "settings_of_platform", lambda: models.settings)
    monkeypatch.setattr("sys.argv", ["capstone"])

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["tenant", *arguments])
        said = capsys.readouterr()
        code = ended.value.code
        return code if isinstance(code, int) else 0, said.out, said.err

    return run


def test_a_tenant_is_made_shown_suspended_and_resumed(capstone: Any) -> None:
    code, out, _ = capstone("create", "cli-shop", "--name", "O'Neil [bold]", "--cell", "na", "--plan", "pro", "--json")
    made = json.loads(out)
    assert (code, made["made"], made["model"], made["status"]) == (0, True, "schema", "active")
    code, out, err = capstone(
        "create", "cli-shop", "--name", "O'Neil [bold]", "--cell", "na", "--plan", "pro", "--json"
    )
    assert (code, json.loads(out)["made"], json.loads(out)["id"]) == (0, False, made["id"])
    assert "was there already" in err
    code, out, _ = capstone("show", "cli-shop", "--json")
    shown = json.loads(out)
    assert (code, shown["closed"], shown["rows"]["ecommerce.store_settings"]) == (0, None, 1)
    assert shown["schemas"] == [f"t_{made['id'].replace('-', '')}_{domain}" for domain in ("saas", "ecommerce")]
    code, out, _ = capstone("suspend", made["id"], "--reason", "unpaid", "--json")
    assert (code, json.loads(out)["status"]) == (0, "suspended")
    assert json.loads(capstone("show", "cli-shop", "--json")[1])["closed"]["reason"] == "unpaid"
    code, out, _ = capstone("resume", "cli-shop", "--cell", "na")
    assert (code, "O'Neil [bold]" in out, "active" in out) == (0, True, True)


def test_tenants_are_listed_by_cell_plan_model_and_status(capstone: Any, models: Any) -> None:
    tenant = models.tenant("shared", plan="starter", cell="eu")
    code, out, _ = capstone("list", "--cell", "eu", "--plan", "starter", "--model", "shared", "--json")
    assert (code, [each["id"] for each in json.loads(out)]) == (0, [str(tenant.id)])
    assert capstone("list", "--status", "suspended", "--json")[1].strip() == "[]"
    assert tenant.subdomain in capstone("list")[1]
    models.tenant("shared", cell="eu")
    code, out, err = capstone("list", "--cell", "eu", "--most", "1", "--json")
    assert (code, len(json.loads(out))) == (0, 1)
    assert "eu has more than these 1" in err


def test_versions_are_told_and_a_migration_of_all_changes_nothing_that_is_up_to_date(
    capstone: Any, models: Any
) -> None:
    tenant = models.tenant("schema")
    code, out, _ = capstone("versions", "--json")
    found = {each["id"]: each for each in json.loads(out)}[str(tenant.id)]
    assert (code, found["pending"], found["problem"]) == (0, 0, None)
    assert found["versions"]["ecommerce"] >= 10
    code, out, _ = capstone("migrate", "--cell", "na")
    assert (code, out.strip()) == (0, "na: 0 migrations applied")
    assert "up to date" in capstone("versions")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "Nobody!"), "'Nobody!' names no tenant"),
        (("show", "'; drop table saas.tenants; --"), "names no tenant"),
        (("show", "nobody"), "no tenant 'nobody'"),
        (("suspend", str(uuid4())), "no tenant"),
        (("suspend", "nobody", "--cell", "mars"), "unknown cell 'mars'"),
        (("create", "a", "--name", "A", "--cell", "na", "--plan", "gold"), "plan 'gold' does not exist"),
        (("create", "a", "--name", "A", "--cell", "na", "--model", "own"), "unknown model 'own'"),
        (("create", "a", "--name", "A", "--cell", "na", "--id", "1"), "id '1' is no UUID"),
        (("create", "A", "--name", "A", "--cell", "na"), "subdomain 'A'"),
        (("list", "--status", "asleep"), "unknown status 'asleep'"),
    ],
)
def test_a_mistake_is_one_message(capstone: Any, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = capstone(*arguments)
    assert code != 0
    assert (said in err, "Traceback" in err, out) == (True, False, "")
