"""The dbt project as Dagster knows it, apart from the assets: reading it needs neither a cell nor a server."""

from orchestration.cells.shell_environment import DBT_PROJECT_DIR
from orchestration.dbt.manifest import prepare_manifest
from orchestration.defs.transform.light_dagster_dbt import DbtProject

MANIFEST = prepare_manifest()
PROJECT = DbtProject(project_dir=DBT_PROJECT_DIR, profiles_dir=DBT_PROJECT_DIR)
