"""dbt in a process of its own, with the variables of one cell and no other's."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import dagster as dg
from packaging.version import Version

from orchestration.analysis.configuration import ConfigurationError, read_configuration
from orchestration.cells.regions import Cell
from orchestration.cells.shell_environment import DBT_PROJECT_DIR, dbt_environment
from orchestration.dbt.command import dbt_executable, inherited_environment
from orchestration.defs.transform.light_dagster_dbt import (
    DagsterDbtTranslator,
    DbtCliInvocation,
    get_updated_cli_invocation_params_for_context,
)
from orchestration.settings import Settings, get_settings


def subprocess_environment(cell: Cell, target_path: Path, settings: Settings | None = None) -> dict[str, str]:
    """Return dbt's whole environment for ``cell``; it holds the transformer's password, so never log it."""
    return {
        **inherited_environment(),
        **dbt_environment(cell, settings),
        "DAGSTER_DBT_CLI": "true",
        "DBT_LOG_FORMAT": "json",
        "DBT_TARGET_PATH": str(target_path),
        "DBT_LOG_PATH": str(target_path),
        "PYTHONUNBUFFERED": "1",
    }


def run_dbt(
    cell: Cell, arguments: Sequence[str], *, context: dg.AssetExecutionContext | None = None
) -> DbtCliInvocation:
    """Start dbt for ``cell`` and return the invocation, whose ``stream()`` gives Dagster's events.

    What ``DbtCliResource.cli`` does, without its reading of this process' environment (which is no cell's), its second
    dbt process to ask for the version and its import of dbt-core for an adapter: four seconds of every run. The target
    path is the cell's own and stays, so dbt finds its partial parse; the cell's pool lets one run use it at a time.

    Raises:
        dagster.Failure: the configured funnels or cohorts have a mistake; names its line, and is not to be retried.
    """
    try:
        read_configuration()
    except ConfigurationError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    target_path = get_settings().home / "dbt" / cell / "dagster"
    target_path.mkdir(parents=True, exist_ok=True)
    parameters = get_updated_cli_invocation_params_for_context(
        context=context, manifest={}, dagster_dbt_translator=DagsterDbtTranslator()
    )
    environment = subprocess_environment(cell, target_path)
    if parameters.indirect_selection:
        environment["DBT_INDIRECT_SELECTION"] = parameters.indirect_selection
    project = parameters.dbt_project
    return DbtCliInvocation.run(
        args=[dbt_executable(), *arguments, *parameters.selection_args],
        env=environment,
        manifest=parameters.manifest,
        dagster_dbt_translator=parameters.dagster_dbt_translator,
        project_dir=Path(project.project_dir) if project else DBT_PROJECT_DIR,
        target_path=target_path,
        raise_on_error=True,
        context=context,
        adapter=None,
        cli_version=Version(version("dbt-core")),
        dbt_project=project,
    )
