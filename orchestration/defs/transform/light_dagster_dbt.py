"""dagster-dbt without dbt in this process.

dagster-dbt imports dbt-core when it finds it: two seconds of the four in which the code location has to load, for what
only a run in dbt's own process needs. It also works where dbt-core is not installed, and says so in its ``compat``
module; hiding dbt-core during this one import selects that way. Everything here imports dagster-dbt through this file.
"""

import sys

_hidden = "dbt.version" not in sys.modules
if _hidden:
    sys.modules["dbt.version"] = None  # type: ignore[assignment]
try:
    from dagster_dbt import (
        DagsterDbtCliRuntimeError,
        DagsterDbtTranslator,
        DagsterDbtTranslatorSettings,
        DbtCliInvocation,
        DbtProject,
        dbt_assets,
    )
    from dagster_dbt.asset_utils import get_updated_cli_invocation_params_for_context
finally:
    if _hidden:
        del sys.modules["dbt.version"]

__all__ = [
    "DagsterDbtCliRuntimeError",
    "DagsterDbtTranslator",
    "DagsterDbtTranslatorSettings",
    "DbtCliInvocation",
    "DbtProject",
    "dbt_assets",
    "get_updated_cli_invocation_params_for_context",
]
