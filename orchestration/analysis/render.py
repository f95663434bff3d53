"""The generators in ``dbt_project/macros`` as SQL, without dbt: the marts' own text, in milliseconds.

What dbt renders for a mart and what is rendered here come from one file. There is no second implementation.
"""

from functools import lru_cache
from typing import Any

import jinja2

from orchestration.settings import PROJECT_ROOT

MACROS = PROJECT_ROOT / "dbt_project" / "macros"

FUNNEL = "funnel/funnel_paths.sql"
CONFIGURED_FUNNELS = "funnel/configured_funnels.sql"
COHORT = "cohort/cohort_retention.sql"
REFERRER = "staging/referrer_domain.sql"


@lru_cache
def _module(file: str, changed_ns: int) -> Any:  # noqa: ARG001 -- part of the key: an edited file is read again
    environment = jinja2.Environment(
        extensions=["jinja2.ext.do"],
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - it is SQL
    )
    return environment.from_string((MACROS / file).read_text(encoding="utf-8")).module


def render(file: str, name: str, **arguments: Any) -> str:
    """Return what macro ``name`` of ``file`` (below ``macros/``) gives for these arguments.

    Texts among the arguments become SQL literals by the macro's own hand; relations and queries are taken as they are
    and must never hold anything that somebody typed.

    Raises:
        AttributeError: the file has no such macro.
        jinja2.UndefinedError: the macro needs something of dbt's.
    """
    return str(getattr(_module(file, (MACROS / file).stat().st_mtime_ns), name)(**arguments)).strip()
