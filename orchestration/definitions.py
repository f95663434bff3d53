"""The Dagster code location: loads ``defs/``, nothing else."""

import dagster as dg

from orchestration.defs.serving import require_project_home
from orchestration.settings import PROJECT_ROOT

require_project_home()


@dg.definitions
def defs() -> dg.Definitions:
    """Return everything below ``defs/``. One process per run: starting another per step costs more than most steps."""
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=PROJECT_ROOT),
        dg.Definitions(executor=dg.in_process_executor),
    )
