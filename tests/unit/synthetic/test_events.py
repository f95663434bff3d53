"""Properties of the event generator: exact, deterministic, within its day, its cell and its shop."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.cells.regions import CELLS, Cell
from orchestration.loading import copy_loader
from orchestration.loading.id_spaces import SYNTHETIC_FIRST_ID
from orchestration.loading.window import SCALES, ScaleSize, WindowError
from orchestration.synthetic import events as events_module
from orchestration.synthetic.events import EVENT_TYPES, FUNNEL, generate_day
from orchestration.synthetic.markets import DEVICES, MARKETS
from orchestration.synthetic.merchants import catalogue, merchants
from orchestration.synthetic.shoppers import shoppers_through, shoppers_won
from orchestration.synthetic.traffic import cell_events, day_events

FIRST = date(2026, 3, 1)
SMALL = SCALES["small"]
SEED = 20260301

cells = st.sampled_from(CELLS)
sizes = st.builds(ScaleSize, tenants=st.integers(10, 60), days=st.integers(1, 20), events=st.integers(0, 40_000))


def frame(cell: Cell, day: date, size: ScaleSize = SMALL, seed: int = SEED) -> pl.DataFrame:
    blocks = list(generate_day(cell, day, size=size, seed=seed, first_day=FIRST))
    if not blocks:
        return pl.DataFrame()
    found = pl.from_arrow(pa.concat_tables(blocks).unify_dictionaries())
    assert isinstance(found, pl.DataFrame)
    return found.with_columns(pl.col("event_type", "device_type", "country").cast(pl.String))


@pytest.fixture(scope="module")
def a_day() -> pl.DataFrame:
    return frame("eu", FIRST + timedelta(days=12))


@settings(max_examples=25, deadline=None)
@given(cells, sizes, st.integers(0, 25), st.integers(0, 2**32))
def test_a_day_has_exactly_its_events_all_within_the_day_and_the_cell(
    cell: Cell, size: ScaleSize, index: int, seed: int
) -> None:
    day = FIRST + timedelta(days=index)
    found = frame(cell, day, size, seed)
    assert len(found) == day_events(cell, day, size=size, first_day=FIRST)
    if found.is_empty():
        return
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    times = found["time"].to_list()
    assert start <= min(times)
    assert max(times) < start + timedelta(days=1)
    assert set(found["country"]) <= {country.code for country in MARKETS[cell].countries}
    assert set(found["device_type"]) <= set(DEVICES)
    assert set(found["event_type"]) <= set(EVENT_TYPES)
    assert set(found["tenant_id"]) <= {tenant.bytes for tenant in merchants(cell, size, seed).ids}
    assert found["event_id"].n_unique() == len(found)


@settings(max_examples=10, deadline=None)
@given(cells, sizes, st.integers(0, 25), st.integers(0, 2**32))
def test_the_same_seed_and_day_give_the_same_rows_and_another_seed_others(
    cell: Cell, size: ScaleSize, index: int, seed: int
) -> None:
    day = FIRST + timedelta(days=index)
    once, again = frame(cell, day, size, seed), frame(cell, day, size, seed)
    assert once.equals(again)
    if len(once) > 10:
        assert not once["event_id"].equals(frame(cell, day, size, seed + 1)["event_id"])


@settings(max_examples=25, deadline=None)
@given(sizes, st.dates(date(2020, 1, 1), date(2030, 1, 1)))
def test_the_days_of_the_window_add_up_to_the_scale_exactly(size: ScaleSize, first: date) -> None:
    total = 0
    for cell in CELLS:
        days = [
            day_events(cell, first + timedelta(days=index), size=size, first_day=first) for index in range(size.days)
        ]
        assert sum(days) == cell_events(cell, size)
        total += sum(days)
    assert total == size.events


def test_small_is_a_million_events_in_thirty_days() -> None:
    days = [FIRST + timedelta(days=index) for index in range(30)]
    assert sum(day_events(cell, day, size=SMALL, first_day=FIRST) for cell in CELLS for day in days) == 1_000_000


def test_a_day_before_the_first_is_an_error() -> None:
    with pytest.raises(WindowError, match="lies before"):
        list(generate_day("na", FIRST - timedelta(days=1), size=SMALL, seed=SEED, first_day=FIRST))


def test_days_after_the_window_go_on_at_its_pace() -> None:
    last = day_events("na", FIRST + timedelta(days=29), size=SMALL, first_day=FIRST)
    later = day_events("na", FIRST + timedelta(days=36), size=SMALL, first_day=FIRST)
    assert 0.9 < later / last < 1.3
    assert len(frame("na", FIRST + timedelta(days=36))) == later


@settings(max_examples=20, deadline=None)
@given(cells, sizes, st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**32))
def test_a_shopper_is_won_once_and_the_same_in_every_view(
    cell: Cell, size: ScaleSize, first: int, more: int, seed: int
) -> None:
    through = shoppers_through(cell, first + more, size=size, seed=seed)
    earlier = shoppers_through(cell, first, size=size, seed=seed)
    known = {(m, n): day for m, n, day in zip(through.merchant, through.number, through.won_on, strict=True)}
    assert len(known) == len(through)
    assert {(m, n) for m, n in zip(earlier.merchant, earlier.number, strict=True)} == {
        key for key, day in known.items() if day <= first
    }
    won = shoppers_won(cell, first, first + more, size=size, seed=seed)
    assert len(won) == sum(first <= day <= first + more for day in known.values())
    assert min(through.number) == 1


def test_a_session_is_one_shopper_of_one_merchant_on_one_device_in_one_country(a_day: pl.DataFrame) -> None:
    sessions = a_day.group_by("session_id").agg(
        pl.col("tenant_id", "device_type", "country").n_unique(), pl.col("user_id").drop_nulls().n_unique()
    )
    assert sessions["tenant_id"].max() == sessions["device_type"].max() == sessions["country"].max() == 1
    assert sessions["user_id"].max() == 1
    assert sessions["user_id"].min() == 0


def test_no_session_reaches_a_funnel_step_without_the_one_before(a_day: pl.DataFrame) -> None:
    first = a_day.group_by("session_id").agg(
        *[pl.col("time").filter(pl.col("event_type") == step).min().alias(step) for step in FUNNEL]
    )
    for before, after in pairwise(FUNNEL):
        reached = first.filter(pl.col(after).is_not_null())
        assert len(reached) > 0
        assert reached.filter(pl.col(before).is_null() | (pl.col(before) > pl.col(after))).is_empty()


def test_desktops_convert_better_than_phones(a_day: pl.DataFrame) -> None:
    bought = (
        a_day.filter(pl.col("user_id").is_not_null())
        .group_by("session_id", "device_type")
        .agg((pl.col("event_type") == "purchase").any().alias("bought"))
        .group_by("device_type")
        .agg(pl.col("bought").mean())
    )
    rates = dict(bought.iter_rows())
    assert rates["desktop"] > rates["mobile"] > 0.02


def test_rows_arrive_out_of_order_but_not_at_random(a_day: pl.DataFrame) -> None:
    backwards = (a_day["time"].diff().drop_nulls() < timedelta(0)).mean()
    assert isinstance(backwards, float)
    assert 0.02 < backwards < 0.5


def test_properties_are_json_and_a_purchase_adds_up(a_day: pl.DataFrame) -> None:
    parsed = [json.loads(text, parse_float=Decimal) for text in a_day["properties"]]
    orders = []
    for kind, properties, user in zip(a_day["event_type"], parsed, a_day["user_id"], strict=True):
        if kind == "product_view":
            assert properties["product_id"] >= 1
        if kind != "purchase":
            continue
        assert user is not None
        lines = properties["items"]
        assert sum(line["total"] for line in lines) == properties["subtotal"]
        assert all(line["price"] * line["quantity"] == line["total"] for line in lines)
        assert properties["subtotal"] + properties["tax"] + properties["shipping"] == properties["revenue"]
        assert properties["currency"] == "EUR"
        orders.append(properties["order_id"])
    assert len(orders) == len(set(orders)) > 50
    assert SYNTHETIC_FIRST_ID < min(orders) <= max(orders) < 2**53 // 10


def test_variants_in_carts_are_the_merchants_own(a_day: pl.DataFrame) -> None:
    goods, sellers = catalogue("eu", SMALL, SEED), merchants("eu", SMALL, SEED)
    owners = goods.merchant[goods.variant_product]
    known = {
        (sellers.ids[owner].bytes, int(number), int(product))
        for owner, number, product in zip(
            owners, goods.variant_number, goods.number[goods.variant_product], strict=True
        )
    }
    carts = a_day.filter(pl.col("event_type") == "add_to_cart")
    for tenant, text in zip(carts["tenant_id"], carts["properties"], strict=True):
        properties = json.loads(text)
        assert (tenant, properties["variant_id"], properties["product_id"]) in known


def test_fewer_of_those_won_on_the_first_day_come_back_as_time_passes() -> None:
    def active(index: int) -> set[tuple[bytes, int]]:
        found = frame("na", FIRST + timedelta(days=index)).filter(pl.col("user_id").is_not_null())
        return set(found.select("tenant_id", "user_id").unique().iter_rows())

    first = active(0)
    next_day, after_a_week, after_four = (len(first & active(index)) / len(first) for index in (1, 7, 28))
    assert 1 > next_day > after_a_week > after_four > 0.03


def test_the_evening_is_busier_than_the_night_in_local_time() -> None:
    found = frame("apac", FIRST + timedelta(days=20)).filter(pl.col("country") == "JP")
    local = found.with_columns((pl.col("time").dt.offset_by("9h")).dt.hour().alias("hour"))
    by_hour = dict(local.group_by("hour").len().iter_rows())
    assert by_hour[20] > 5 * by_hour.get(3, 0)


def test_the_largest_merchant_has_many_times_the_smallest_ones_traffic(a_day: pl.DataFrame) -> None:
    by_merchant = a_day.group_by("tenant_id").len()["len"]
    assert len(by_merchant) == len(merchants("eu", SMALL, SEED))
    assert by_merchant.max() > 5 * by_merchant.min()  # type: ignore[operator]


def test_a_day_of_many_events_comes_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "MAX_BLOCK_ROWS", 1_000)
    size = ScaleSize(20, 1, 9_000)
    blocks = list(generate_day("na", FIRST, size=size, seed=SEED, first_day=FIRST))
    assert [block.num_rows for block in blocks] == [900] * 5
    orders = [
        json.loads(text)["order_id"]
        for block in blocks
        for kind, text in zip(block["event_type"].to_pylist(), block["properties"].to_pylist(), strict=True)
        if kind == "purchase"
    ]
    assert len(orders) == len(set(orders))
    assert copy_loader.MAX_BLOCK_ROWS == 1_000_000


def test_a_merchant_keeps_name_and_identity_at_every_scale() -> None:
    for cell in CELLS:
        small, large = merchants(cell, SMALL, SEED), merchants(cell, SCALES["large"], SEED)
        assert large.ids[: len(small)] == small.ids
        assert large.subdomains[: len(small)] == small.subdomains
    everywhere = [name for cell in CELLS for name in merchants(cell, SCALES["large"], SEED).subdomains]
    assert len(everywhere) == len(set(everywhere)) == 10_000
