"""The dbt project as Dagster knows it, apart from the assets: reading it needs neither a cell nor a server."""

from orchestration.cells.shell_environment import DBT_PROJECT_DIR
from orchestration.defs.transform.light_dagster_dbt import DbtProject
from orchestration.defs.transform.manifest import prepare_manifest

MANIFEST = prepare_manifest()
PROJECT = DbtProject(project_dir=DBT_PROJECT_DIR, profiles_dir=DBT_PROJECT_DIR)
