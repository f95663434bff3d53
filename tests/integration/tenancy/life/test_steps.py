"""The journal resumes a killed operation where it was, and lets nobody else work on the tenant meanwhile."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from orchestration.cells.journal import OperationError, Step, StepProgress, run_steps
from orchestration.tenancy.steps import open_operation_of, operation
from tests.integration.tenancy.life.conftest import LifeCells


class KilledError(BaseException):
    """As a kill: nothing that catches errors catches it."""


def _kill_at(moment: str, number: int) -> Callable[[StepProgress], None]:
    def progress(step: StepProgress) -> None:
        if (step.moment, step.number) == (moment, number):
            raise KilledError

    return progress


def _steps(done: list[str]) -> list[Step]:
    return [Step(name, lambda name=name: done.append(name)) for name in ("first", "second", "third")]  # type: ignore[misc]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(("moment", "again"), [("started", 0), ("worked", 1), ("finished", 0)])
def test_a_killed_operation_goes_on_where_it_was(life: LifeCells, moment: str, again: int, number: int) -> None:
    tenant, done = uuid4(), list[str]()
    with pytest.raises(KilledError), operation("na", tenant, "move", {"to": "eu"}, settings=life.settings) as begun:
        run_steps(begun, _steps(done), _kill_at(moment, number))
    seen: list[tuple[str, int]] = []
    with operation("na", tenant, "move", {"to": "eu"}, settings=life.settings) as resumed:
        assert resumed.resumed
        run_steps(resumed, _steps(done), lambda step: seen.append((step.moment, step.number)))
    repeated = ["first", "second", "third"][number - 1]
    assert done.count(repeated) == 1 + again
    assert set(done) == {"first", "second", "third"}
    assert life.journal("na", tenant) == [("move", "third", "done")]
    finished = number if moment == "finished" else number - 1
    assert [step for step in seen if step[0] == "passed"] == [("passed", n) for n in range(1, finished + 1)]


def test_a_step_that_fails_is_recorded_without_values_and_can_be_repeated(life: LifeCells) -> None:
    tenant = uuid4()

    def quotes_a_row() -> None:
        raise ValueError("jane.roe@example.com is taken")

    with (
        pytest.raises(ValueError, match="taken"),
        operation("na", tenant, "restore", settings=life.settings) as begun,
    ):
        run_steps(begun, [Step("only", quotes_a_row)])
    found = open_operation_of("na", tenant, life.settings)
    assert found is not None
    assert found.state == "failed"
    assert life.value("na", "select error from platform.tenant_operations where tenant_id = %s", (tenant,)) == (
        "ValueError"
    )
    with operation("na", tenant, "restore", settings=life.settings) as resumed:
        run_steps(resumed, [Step("only", lambda: "1 row")])
    assert open_operation_of("na", tenant, life.settings) is None


def test_what_a_step_remembers_is_there_for_whoever_resumes(life: LifeCells) -> None:
    tenant = uuid4()
    with operation("na", tenant, "move", {"to": "eu"}, settings=life.settings) as begun:
        begun.remember(rows=12)
    with operation("na", tenant, "move", {"to": "eu"}, settings=life.settings) as resumed:
        assert resumed.facts == {"rows": 12}


def test_another_verb_is_refused_while_one_is_open(life: LifeCells) -> None:
    tenant = uuid4()
    with operation("na", tenant, "move", {"to": "eu"}, settings=life.settings) as begun:
        begun.reached("copy")
    for verb, arguments in (("erase", {}), ("move", {"to": "apac"})):
        with (
            pytest.raises(OperationError, match=r"move to=eu got as far as 'copy'. Repeat that command"),
            operation("na", tenant, verb, arguments, settings=life.settings),
        ):
            pass


def test_an_unfinished_export_stands_in_nobodys_way(life: LifeCells) -> None:
    tenant = uuid4()
    with operation("na", tenant, "export", settings=life.settings):
        pass
    with operation("na", tenant, "erase", settings=life.settings) as begun:
        assert not begun.resumed
    assert [row[0::2] for row in life.journal("na", tenant)] == [("export", "undone"), ("erase", "running")]


def test_two_processes_never_work_on_one_tenant(life: LifeCells) -> None:
    tenant = uuid4()
    with (
        operation("na", tenant, "move", {"to": "eu"}, settings=life.settings),
        pytest.raises(OperationError, match="another process is at work"),
        operation("na", tenant, "move", {"to": "eu"}, settings=life.settings),
    ):
        pass


def test_an_operation_of_another_version_is_refused(life: LifeCells) -> None:
    tenant = uuid4()
    with operation("na", tenant, "move", settings=life.settings) as begun:
        begun.reached("teleport")
    with (
        operation("na", tenant, "move", settings=life.settings) as resumed,
        pytest.raises(OperationError, match="knows no step 'teleport'"),
    ):
        run_steps(resumed, _steps([]))


def test_a_former_tenant_is_known_by_a_digest_alone(life: LifeCells) -> None:
    tenant = uuid4()
    assert not life.value("na", "select platform.is_former_tenant(%s)", (tenant,))
    life.execute(
        "na",
        "insert into platform.former_tenants (digest, salt, why) "
        "values (encode(sha256(convert_to('grain' || %s, 'UTF8')), 'hex'), 'grain', 'erased')",
        (str(tenant),),
    )
    assert life.value("na", "select platform.is_former_tenant(%s)", (tenant,))
    assert not life.value("na", "select platform.is_former_tenant(%s)", (UUID(int=tenant.int ^ 1),))
