"""The front page of the documentation server: where each cell's dbt docs and data docs are."""

import html
from pathlib import Path
from string import Template

from orchestration.cells import endpoints
from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.engines.atomic_file import write_atomically
from orchestration.settings import Settings

_PAGE = Path(__file__).with_name("docs_site.html.template")

# Below settings.docs; the assets that generate them write there.
DBT_DOCS = "dbt/{cell}/index.html"
DATA_DOCS = "data/{cell}/index.html"
RESIDENCY_MAP = "residency_map.html"


def docs_url(settings: Settings, path: str = "") -> str:
    """Return the address of a page of the documentation server."""
    return f"http://127.0.0.1:{endpoints.port('docs', settings)}/{path}"


def dagster_url(settings: Settings) -> str:
    """Return the address of the Dagster UI."""
    return f"http://127.0.0.1:{endpoints.port('webserver', settings)}"


def _link(settings: Settings, path: str, title: str) -> str:
    if not (settings.docs / path).is_file():
        return f"{title}: not written yet"
    return f'<a href="{html.escape(path)}">{title}</a>'


def _row(settings: Settings, cell: Cell) -> str:
    models = _link(settings, DBT_DOCS.format(cell=cell), "dbt docs")
    proofs = _link(settings, DATA_DOCS.format(cell=cell), "data docs")
    return f"<tr><td>{cell}</td><td>{html.escape(REGIONS[cell].name)}</td><td>{models}</td><td>{proofs}</td></tr>"


def write_front_page(settings: Settings) -> None:
    """Write the front page; it says what is not there yet, so it is written again when a fill has ended."""
    settings.docs.mkdir(parents=True, exist_ok=True)
    page = Template(_PAGE.read_text()).substitute(
        dagster=html.escape(dagster_url(settings)),
        residency=_link(settings, RESIDENCY_MAP, "residency map"),
        rows="\n".join(_row(settings, cell) for cell in CELLS),
    )
    front = settings.docs / "index.html"
    if not front.exists() or front.read_text() != page:
        write_atomically(front, page, mode=0o644)
