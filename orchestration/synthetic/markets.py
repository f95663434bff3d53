"""What makes a region's traffic its own: countries, clocks, currencies, and the hours and weekdays people shop.

The shapes are plausible, not measured. Clocks are fixed offsets from UTC, without daylight saving, so that a
partition does not depend on the machine's time zone data.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from orchestration.cells.regions import Cell
from orchestration.synthetic.hashing import Floats


@dataclass(frozen=True)
class Country:
    """A country of a region.

    Attributes:
        code: ISO 3166-1 alpha-2.
        share: its part of the region's people; the shares add up to 1.
        utc_offset_minutes: minutes that its clocks are ahead of UTC.
        cities: (city, state or province, postal code) of synthetic addresses.
    """

    code: str
    share: float
    utc_offset_minutes: int
    cities: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Market:
    """A region as a market.

    Attributes:
        countries: those whose people shop here; of the European Union only, for eu.
        currencies: what its merchants sell in.
        tax_rate: fraction of the price of goods that a sale adds.
        shipping_cents: flat price of shipping, in hundredths of the currency.
    """

    countries: tuple[Country, ...]
    currencies: tuple[str, ...]
    tax_rate: float
    shipping_cents: int


MARKETS: dict[Cell, Market] = {
    "na": Market(
        (
            Country(
                "US", 0.78, -360, (("Austin", "TX", "78701"), ("Chicago", "IL", "60601"), ("Denver", "CO", "80202"))
            ),
            Country("CA", 0.14, -300, (("Toronto", "ON", "M5H 2N2"), ("Montreal", "QC", "H2Y 1C6"))),
            Country("MX", 0.08, -360, (("Guadalajara", "JAL", "44100"), ("Monterrey", "NLE", "64000"))),
        ),
        ("USD", "USD", "USD", "CAD"),
        0.08,
        595,
    ),
    "eu": Market(
        (
            Country("DE", 0.30, 60, (("Berlin", "BE", "10115"), ("Hamburg", "HH", "20095"))),
            Country("FR", 0.22, 60, (("Paris", "IDF", "75001"), ("Lyon", "ARA", "69001"))),
            Country("IT", 0.15, 60, (("Milan", "MI", "20121"), ("Turin", "TO", "10121"))),
            Country("ES", 0.13, 60, (("Madrid", "MD", "28001"), ("Valencia", "VC", "46001"))),
            Country("NL", 0.09, 60, (("Utrecht", "UT", "3511"), ("Rotterdam", "ZH", "3011"))),
            Country("PL", 0.06, 60, (("Krakow", "MA", "30-001"), ("Gdansk", "PM", "80-001"))),
            Country("IE", 0.05, 0, (("Dublin", "D", "D01 F5P2"), ("Cork", "CO", "T12 W8XP"))),
        ),
        ("EUR",),
        0.21,
        490,
    ),
    "apac": Market(
        (
            Country("JP", 0.30, 540, (("Osaka", "27", "530-0001"), ("Nagoya", "23", "450-0002"))),
            Country("AU", 0.24, 600, (("Sydney", "NSW", "2000"), ("Melbourne", "VIC", "3000"))),
            Country("IN", 0.20, 330, (("Pune", "MH", "411001"), ("Chennai", "TN", "600001"))),
            Country("SG", 0.14, 480, (("Singapore", "SG", "018956"),)),
            Country("KR", 0.12, 540, (("Busan", "26", "48058"), ("Seoul", "11", "04524"))),
        ),
        ("SGD", "AUD"),
        0.09,
        690,
    ),
}

DEVICES = ("mobile", "desktop", "tablet")
DEVICE_SHARES = (0.56, 0.37, 0.07)

# Relative traffic by hour of the local clock: quiet at night, lunch, a peak in the evening.
_WORKDAY = (12, 7, 4, 3, 3, 5, 12, 24, 36, 44, 50, 54, 62, 56, 50, 48, 50, 56, 66, 80, 92, 90, 66, 34)
_WEEKEND = (20, 13, 8, 5, 4, 4, 7, 13, 26, 44, 60, 70, 72, 70, 66, 64, 64, 66, 70, 76, 80, 76, 60, 38)
# Relative traffic by local weekday, Monday first.
_WEEKDAY = (1.04, 1.00, 0.98, 1.00, 0.96, 0.98, 1.08)

_MINUTES = 24 * 60


def intensity_by_minute(country: Country, day: date) -> Floats:
    """Return the relative traffic of each minute of the UTC day ``day`` from ``country``; shape (1440,)."""
    local = np.arange(_MINUTES) + country.utc_offset_minutes
    hour = local // 60 % 24
    traffic = np.empty(_MINUTES)
    for shift in (-1, 0, 1):
        weekday = (day + timedelta(days=shift)).weekday()
        profile = np.array(_WEEKEND if weekday >= 5 else _WORKDAY, dtype=np.float64)
        minutes = local // _MINUTES == shift
        traffic[minutes] = (profile / profile.sum() * _WEEKDAY[weekday])[hour[minutes]]
    return traffic


def day_factor(cell: Cell, day: date) -> float:
    """Return the relative traffic of the UTC day ``day`` in ``cell``, around 1, from the local weekdays it spans."""
    return float(
        sum(country.share * intensity_by_minute(country, day).sum() / 60 for country in MARKETS[cell].countries)
    )
