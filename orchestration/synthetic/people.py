"""Rows of synthetic people: shoppers with their addresses, and merchants' staff. None of them is or names anybody.

Every e-mail address is below ``example.com`` (reserved by RFC 2606), every password hash is ``UNUSABLE_PASSWORD``.
A person's region of record is the cell's own, so that no EU resident is ever made elsewhere.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import uuid5

import numpy as np
import pyarrow as pa

from orchestration.cells.regions import CELLS, Cell
from orchestration.loading.arrow_columns import chosen_text, constant_text, uuid_column
from orchestration.loading.copy_loader import NAMESPACE
from orchestration.loading.window import ScaleSize
from orchestration.synthetic.hashing import Ints, uniform, uuid5_bytes
from orchestration.synthetic.markets import MARKETS
from orchestration.synthetic.merchants import Merchants, merchants
from orchestration.synthetic.shoppers import Shoppers, home_country, signup_times
from orchestration.synthetic.vocabulary import FIRST_NAMES, LAST_NAMES, PROJECT_NAMES, STREETS

# No password hashes to this: it starts with the mark of a locked account and names no algorithm.
UNUSABLE_PASSWORD = "!synthetic"  # noqa: S105 - a marker, not a secret

# Members of staff and projects by plan; within the plans' limits.
_STAFF = {"free": 1, "starter": 2, "pro": 4, "enterprise": 8}
_PROJECTS = {"free": 1, "starter": 2, "pro": 4, "enterprise": 6}

# Days before the platform's first day on which merchants signed up: at least, and within how many more.
_SIGNED_UP_LEAST, _SIGNED_UP_WITHIN = 30, 700


@dataclass(frozen=True)
class ShopperRows:
    """Rows of the same shoppers for the tables that describe them, in the order they must be written."""

    persons: pa.Table
    users: pa.Table
    addresses: pa.Table
    eu_user_data: pa.Table | None


def _microseconds(first_day: date, day_index: Ints) -> Ints:
    midnight = int(datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC).timestamp())
    return (midnight + day_index * 86_400) * 1_000_000


def _instants(microseconds: Ints) -> pa.Array:
    return pa.array(microseconds).cast(pa.timestamp("us", "UTC"))


def _won_at(cell: Cell, shoppers: Shoppers, first_day: date, seed: int) -> Ints:
    """Return when each shopper signed up, in microseconds since 1970."""
    result = _microseconds(first_day, shoppers.won_on)
    for day_index in np.unique(shoppers.won_on).tolist():
        chosen = shoppers.won_on == day_index
        result[chosen] += signup_times(cell, first_day + timedelta(days=day_index), shoppers.of(chosen), seed)
    return result


def shopper_rows(cell: Cell, shoppers: Shoppers, *, size: ScaleSize, seed: int, first_day: date) -> ShopperRows:
    """Return the rows of ``shoppers``, who live in ``cell``."""
    sellers = merchants(cell, size, seed)
    merchant, numbers = shoppers.merchant.tolist(), shoppers.number.tolist()
    pairs = list(zip(merchant, numbers, strict=True))
    person = uuid_column(uuid5_bytes(NAMESPACE, (f"person/{sellers.ids[m]}/shopper/{n}" for m, n in pairs)))
    email = pa.array([f"shopper-{n}@{sellers.subdomains[m]}.example.com" for m, n in pairs], pa.string())
    keys = (CELLS.index(cell), shoppers.merchant, shoppers.number)
    first_name = (uniform(seed, "first name", *keys) * len(FIRST_NAMES)).astype(np.int64)
    last_name = (uniform(seed, "last name", *keys) * len(LAST_NAMES)).astype(np.int64)
    tenant = uuid_column(sellers.uuids[shoppers.merchant])
    country = home_country(cell, shoppers, seed)
    codes = tuple(place.code for place in MARKETS[cell].countries)
    won_at = _instants(_won_at(cell, shoppers, first_day, seed))
    rows = len(pairs)
    profiles = tuple(f'{{"source": "synthetic", "country": "{code}"}}' for code in codes)
    number = pa.array(shoppers.number)
    return ShopperRows(
        persons=pa.table(
            {
                "id": person,
                "email": email,
                "region": constant_text(cell, rows),
                "profile": chosen_text(profiles, country),
                "created_at": won_at,
            }
        ),
        users=pa.table(
            {
                "tenant_id": tenant,
                "id": number,
                "person_id": person,
                "email": email,
                "password_hash": constant_text(UNUSABLE_PASSWORD, rows),
                "first_name": chosen_text(FIRST_NAMES, first_name),
                "last_name": chosen_text(LAST_NAMES, last_name),
                "created_at": won_at,
                "updated_at": won_at,
            }
        ),
        addresses=_addresses(cell, shoppers, tenant, country, seed),
        eu_user_data=_eu_user_data(shoppers, person, seed) if cell == "eu" else None,
    )


def _addresses(cell: Cell, shoppers: Shoppers, tenant: pa.Array, country: Ints, seed: int) -> pa.Table:
    """Return one shipping address per shopper, whose id is the shopper's own."""
    keys = (CELLS.index(cell), shoppers.merchant, shoppers.number)
    places = [(place.code, *city) for place in MARKETS[cell].countries for city in place.cities]
    counts = np.array([len(place.cities) for place in MARKETS[cell].countries], dtype=np.int64)
    first = np.cumsum(counts) - counts
    chosen = first[country] + (uniform(seed, "city", *keys) * counts[country]).astype(np.int64)
    codes, cities, states, postal_codes = (tuple(column) for column in zip(*places, strict=True))
    house = (uniform(seed, "house", *keys) * 199).astype(np.int64) + 1
    street = (uniform(seed, "street", *keys) * len(STREETS)).astype(np.int64)
    lines = [f"{number} {STREETS[name]}" for number, name in zip(house.tolist(), street.tolist(), strict=True)]
    rows = len(shoppers)
    return pa.table(
        {
            "tenant_id": tenant,
            "id": pa.array(shoppers.number),
            "user_id": pa.array(shoppers.number),
            "address_type": constant_text("shipping", rows),
            "street_line1": pa.array(lines, pa.string()),
            "city": chosen_text(cities, chosen),
            "state": chosen_text(states, chosen),
            "postal_code": chosen_text(postal_codes, chosen),
            "country": chosen_text(codes, chosen),
            "is_default": pa.array(np.ones(rows, dtype=np.bool_)),
        }
    )


def _eu_user_data(shoppers: Shoppers, person: pa.Array, seed: int) -> pa.Table:
    """Return what of a shopper must not leave the EU; made up like the rest."""
    keys = (CELLS.index("eu"), shoppers.merchant, shoppers.number)
    born = 1945 + (uniform(seed, "born", *keys) * 62).astype(np.int64)
    consent = uniform(seed, "consent", *keys) < 0.4
    texts = [
        f'{{"year_of_birth": {year}, "marketing_consent": {"true" if agreed else "false"}}}'
        for year, agreed in zip(born.tolist(), consent.tolist(), strict=True)
    ]
    return pa.table({"user_id": person, "sensitive_data": pa.array(texts, pa.string())})


@dataclass(frozen=True)
class StaffRows:
    """Rows of merchants' staff and projects, in the order they must be written."""

    persons: pa.Table
    users: pa.Table
    projects: pa.Table


def signed_up(sellers: Merchants, seed: int, first_day: date) -> pa.Array:
    """Return when each merchant signed up: before the platform's first day."""
    index = np.arange(len(sellers), dtype=np.int64)
    ago = uniform(seed, "signed up", CELLS.index(sellers.cell), index) * _SIGNED_UP_WITHIN
    return _instants(_microseconds(first_day, -_SIGNED_UP_LEAST - ago.astype(np.int64)))


def _role(place: int) -> str:
    if place == 0:
        return "owner"
    if place == 1:
        return "admin"
    return "viewer" if place % 4 == 3 else "member"


def staff_rows(cell: Cell, *, size: ScaleSize, seed: int, first_day: date) -> StaffRows:
    """Return staff and projects of the merchants of ``cell``."""
    sellers = merchants(cell, size, seed)
    since = signed_up(sellers, seed, first_day)
    places = [(m, place) for m, plan in enumerate(sellers.plans) for place in range(_STAFF[plan])]
    projects = [(m, place) for m, plan in enumerate(sellers.plans) for place in range(_PROJECTS[plan])]
    merchant = np.array([m for m, _ in places], dtype=np.int64)
    place = np.array([p for _, p in places], dtype=np.int64)
    first = (uniform(seed, "staff first", CELLS.index(cell), merchant, place) * len(FIRST_NAMES)).astype(np.int64)
    last = (uniform(seed, "staff last", CELLS.index(cell), merchant, place) * len(LAST_NAMES)).astype(np.int64)
    email = pa.array(
        [
            f"{FIRST_NAMES[f]}.{LAST_NAMES[name]}.{p + 1}@{sellers.subdomains[m]}.example.com".lower()
            for (m, p), f, name in zip(places, first.tolist(), last.tolist(), strict=True)
        ],
        pa.string(),
    )
    person = uuid_column(uuid5_bytes(NAMESPACE, (f"person/{sellers.ids[m]}/staff/{p}" for m, p in places)))
    tenant = uuid_column(sellers.uuids[merchant])
    joined_at = since.take(pa.array(merchant))
    owners = [uuid5(NAMESPACE, f"staff/{sellers.ids[m]}/0").bytes for m, _ in projects]
    return StaffRows(
        persons=pa.table(
            {
                "id": person,
                "email": email,
                "region": constant_text(cell, len(places)),
                "profile": constant_text('{"source": "synthetic"}', len(places)),
                "created_at": joined_at,
            }
        ),
        users=pa.table(
            {
                "tenant_id": tenant,
                "id": uuid_column(uuid5_bytes(NAMESPACE, (f"staff/{sellers.ids[m]}/{p}" for m, p in places))),
                "person_id": person,
                "email": email,
                "role": pa.array([_role(p) for _, p in places], pa.string()),
                "created_at": joined_at,
            }
        ),
        projects=pa.table(
            {
                "tenant_id": uuid_column(sellers.uuids[np.array([m for m, _ in projects], dtype=np.int64)]),
                "id": uuid_column(uuid5_bytes(NAMESPACE, (f"project/{sellers.ids[m]}/{p}" for m, p in projects))),
                "name": pa.array([PROJECT_NAMES[p] for _, p in projects], pa.string()),
                "created_by": pa.array(owners, pa.binary(16)),
                "created_at": since.take(pa.array([m for m, _ in projects], pa.int64())),
            }
        ),
    )
