"""The page: a table of what may live where and lives where, made from the facts that each cell's proof left.

A cell whose facts are old is shown with their age, one that was never counted as that: neither is a zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.cells.stores import Store, stores
from orchestration.engines.atomic_file import write_atomically
from orchestration.lifecycle.docs_site import RESIDENCY_MAP
from orchestration.residency_map import cell_facts, shared_facts
from orchestration.residency_map.cell_facts import CellFacts, Found
from orchestration.settings import Settings, get_settings

_TEMPLATE = Path(__file__).with_name("residency_map.html.jinja")

# As people.sql counts them.
PEOPLE = {
    "persons": "Persons and what they told about themselves (geo.users)",
    "sensitive data": "Sensitive data of EU residents (geo.eu_user_data)",
    "shoppers": "Shoppers: logins, names, and with them addresses, orders, payments, reviews (ecommerce.users)",
    "staff": "Staff of tenants (saas.users)",
}
RESIDENCY: dict[str, tuple[Cell, ...]] = {region: each.residency for region, each in REGIONS.items()}

# Of no other region's people there may be any, anywhere.
EU_ONLY = "sensitive data"

_HOLDS = {
    "rows": "rows of tenants or persons",
    "derived": "built from rows, pseudonymous",
    "names": "names and counts",
}


@dataclass(frozen=True)
class Square:
    """One category in one cell: what to show, and whether it is where it may be."""

    text: str
    state: str  # here, none, misplaced, unknown


@dataclass(frozen=True)
class Row:
    """One category of data."""

    name: str
    description: str
    may_live: str
    squares: tuple[Square, ...]
    ends: str


def write(settings: Settings | None = None) -> Path:
    """Write the page from the facts that there are; return where."""
    settings = settings or get_settings()
    path = settings.docs / RESIDENCY_MAP
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {cell: cell_facts.read(cell, settings) for cell in CELLS}
    found, unseen = shared_facts.gather(settings)
    write_atomically(path, as_html(facts, found, unseen, datetime.now(UTC)), mode=0o644)
    return path


def update(cell: Cell, settings: Settings | None = None) -> Path:
    """Count what ``cell`` holds now, keep it, and write the page.

    Raises:
        CellUnavailableError: the cell does not answer; the page is as it was.
    """
    settings = settings or get_settings()
    cell_facts.keep(cell_facts.gather(cell, settings), settings)
    return write(settings)


def as_html(
    facts: Mapping[Cell, CellFacts | None], found: Mapping[str, Found], unseen: Mapping[str, str], now: datetime
) -> str:
    """Return the page.

    Args:
        facts: of each cell, None where it was never counted.
        found: what there is of each shared store.
        unseen: shared store -> why it could not be looked at.
        now: UTC; ages are counted from it.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE.read_text()).render(
        cells=[_head(cell, facts[cell], now) for cell in CELLS],
        people=people_rows(facts),
        regional=[_store_row(each, facts) for each in stores() if each.scope == "cell"],
        shared=[_shared_row(each, found, unseen) for each in stores() if each.scope == "shared"],
        written_at=now.strftime("%Y-%m-%d %H:%M:%S"),
    )


def people_rows(facts: Mapping[Cell, CellFacts | None]) -> list[Row]:
    """Return a row for each category of people's data and each region of record, also one that is not a region's."""
    rows = []
    for category, description in PEOPLE.items():
        present = {region for each in facts.values() if each is not None for region in each.people.get(category, {})}
        wanted = {"eu"} if category == EU_ONLY else set(REGIONS)
        for region in sorted(present | wanted, key=_place):
            allowed = RESIDENCY[region] if region in wanted else ()
            rows.append(
                Row(
                    f"{category}, region {region}",
                    description,
                    ", ".join(allowed) if allowed else "nowhere",
                    tuple(_people_square(facts[cell], category, region, allowed=cell in allowed) for cell in CELLS),
                    "with the person: `capstone person erase`",
                )
            )
    return rows


def _place(region: str) -> tuple[int, str]:
    return (CELLS.index(region) if region in CELLS else len(CELLS), region)


def _people_square(facts: CellFacts | None, category: str, region: str, *, allowed: bool) -> Square:
    if facts is None:
        return Square("not counted yet", "unknown")
    count = facts.people.get(category, {}).get(region, 0)
    if count and not allowed:
        return Square(f"{count:,} that may not be here", "misplaced")
    return Square(f"{count:,}" if count else "none", "here" if count else "none")


def _store_row(store: Store, facts: Mapping[Cell, CellFacts | None]) -> Row:
    return Row(
        store.name,
        f"{store.description} ({_HOLDS[store.holds]})",
        "the cell that it is of",
        tuple(_store_square(store, facts[cell]) for cell in CELLS),
        store.expiry or "when it is erased",
    )


def _store_square(store: Store, facts: CellFacts | None) -> Square:
    if facts is None:
        return Square("not counted yet", "unknown")
    if store.name in facts.unseen:
        return Square(facts.unseen[store.name], "unknown")
    if store.name not in facts.stores:
        # Not a number of its own: dead rows and the log are of the server's files.
        return Square("within the database's files", "none")
    return _amount(facts.stores[store.name])


def _amount(found: Found) -> Square:
    if not found.count:
        return Square("none", "none")
    about = "about " if found.estimated else ""
    return Square(f"{about}{found.count:,} {found.unit}", "here")


def _shared_row(store: Store, found: Mapping[str, Found], unseen: Mapping[str, str]) -> Row:
    square = (
        _amount(found[store.name]) if store.name in found else Square(unseen.get(store.name, "not counted"), "unknown")
    )
    return Row(
        store.name,
        f"{store.description} ({_HOLDS[store.holds]})",
        "beside the control cluster; nothing regional",
        (square,),
        store.expiry or "with the platform",
    )


def _head(cell: Cell, facts: CellFacts | None, now: datetime) -> dict[str, str]:
    head = {"cell": cell, "region": REGIONS[cell].name}
    if facts is None or facts.verdict is None or facts.proven_at is None:
        return {**head, "verdict": "not proven", "css": "unproven", "when": "never proven"}
    verdicts = {"green": ("proven", "proven"), "red": ("violated", "violated")}
    verdict, css = verdicts.get(facts.verdict, ("not proven", "unproven"))
    minutes = (now - datetime.fromisoformat(facts.proven_at).replace(tzinfo=UTC)).total_seconds() / 60
    named = f", {facts.offenders:,} offenders" if facts.offenders else ""
    return {**head, "verdict": verdict, "css": css, "when": f"{facts.proven_at}, {minutes:,.0f} minutes ago{named}"}
