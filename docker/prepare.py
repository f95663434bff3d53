"""Before Dagster starts in containers: databases and roles on the servers, and the home that all services share."""

import sys

from orchestration.engines.errors import EngineError
from orchestration.engines.local import LocalEngines
from orchestration.lifecycle import dagster_home, docs_site
from orchestration.loading.window import establish_window
from orchestration.settings import get_settings


def main() -> int:
    """Prepare; safe to repeat. Return the exit status."""
    settings = get_settings()
    try:
        # Every server has a DSN here: none is started, each is asked and given what it lacks.
        LocalEngines(settings).start(lambda line: print(line, flush=True))  # noqa: T201
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    establish_window(settings)
    dagster_home.write(settings)
    settings.docs.mkdir(parents=True, exist_ok=True)
    docs_site.write_front_page(settings)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
