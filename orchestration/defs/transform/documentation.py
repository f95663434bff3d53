"""dbt's documentation of a cell, generated into the documentation site; the pages say which cell they describe."""

import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from orchestration.analysis.configuration import read_configuration
from orchestration.cells.regions import REGIONS, Cell
from orchestration.cells.shell_environment import DBT_PROJECT_DIR
from orchestration.dbt.command import dbt_executable
from orchestration.defs.transform.arguments import docs_arguments
from orchestration.lifecycle.docs_site import DBT_DOCS
from orchestration.settings import Settings, get_settings

_PAGES = ("index.html", "catalog.json", "manifest.json")
_TITLE = "<title>dbt Docs</title>"
# Written in docs/overview.md, for dbt renders no variable there.
_CELL_MARK = "THIS_CELL"
_GENERATE_SECONDS = 300


class DocumentationError(RuntimeError):
    """The documentation could not be generated; the message is dbt's own."""


@dataclass(frozen=True)
class Documentation:
    """What was written: the folder, the number of models and columns described, and the seconds it took."""

    folder: Path
    models: int
    columns: int
    seconds: float


def docs_folder(cell: Cell, settings: Settings) -> Path:
    """Return the folder of a cell's dbt docs below the documentation site."""
    return (settings.docs / DBT_DOCS.format(cell=cell)).parent


def _name_the_cell(folder: Path, cell: Cell) -> None:
    name = f"cell {cell} ({REGIONS[cell].name})"
    page = folder / "index.html"
    html = page.read_text()
    if _TITLE not in html:
        raise DocumentationError(f"{page} has no {_TITLE}: this version of dbt writes another page")
    page.write_text(html.replace(_TITLE, f"<title>dbt docs: {name}</title>"))
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(_CELL_MARK, name))


def generate_documentation(cell: Cell, *, settings: Settings | None = None) -> Documentation:
    """Write the dbt docs of ``cell``; readers see the old pages or the new ones, of one run.

    Raises:
        ConfigurationError: the configured funnels or cohorts have a mistake.
        DocumentationError: dbt failed.
        EndpointError: the cell's address or password is not known.
    """
    # Imported here: the subprocess' environment lies beside dagster-dbt, which `capstone` need not load otherwise.
    from orchestration.defs.transform.invocation import subprocess_environment  # noqa: PLC0415

    read_configuration()
    settings = settings or get_settings()
    started = time.monotonic()
    folder = docs_folder(cell, settings)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".generating-", dir=folder.parent))
    try:
        environment = subprocess_environment(cell, scratch, settings) | {"DBT_LOG_FORMAT": "text"}
        done = subprocess.run(
            [dbt_executable(), "--no-use-colors", *docs_arguments(cell, str(scratch))],
            env=environment,
            cwd=DBT_PROJECT_DIR,
            capture_output=True,
            text=True,
            check=False,
            timeout=_GENERATE_SECONDS,
        )
        if done.returncode:
            raise DocumentationError(f"dbt docs of cell {cell!r} failed:\n{done.stdout[-4000:]}{done.stderr[-1000:]}")
        _name_the_cell(scratch, cell)
        manifest = json.loads((scratch / "manifest.json").read_text())
        for page in _PAGES:
            (scratch / page).chmod(0o644)
            (scratch / page).replace(folder / page)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    described = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    return Documentation(
        folder=folder,
        models=len(described),
        columns=sum(len(node["columns"]) for node in described),
        seconds=round(time.monotonic() - started, 3),
    )
