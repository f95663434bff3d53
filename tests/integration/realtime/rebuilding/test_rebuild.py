"""A rebuild makes the counters what the hypertable says, beside a running processor too, and a comparison tells."""

import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from orchestration.realtime import counter_keys, rebuild
from orchestration.realtime.processing_lock import processing
from orchestration.realtime.rebuild import RebuildError, rebuild_counters
from orchestration.realtime.reconciliation import reconcile
from orchestration.realtime.stats import recent_events
from tests.integration.realtime.rebuilding.conftest import CELL, Shop


class KilledError(Exception):
    """Ends a processor between two of its steps."""


def traffic(shop: Shop, count: int = 200) -> None:
    """Send events of all tenants over the hour and before, of many types and users, and have them processed."""
    types = ("page_view", "product_view", "purchase", "invented")
    shop.send(
        *(
            shop.event(
                n % len(shop.tenants), types[n % 4], n % 17 or None, minutes_ago=90 if n % 10 == 9 else n * 7 % 60
            )
            for n in range(count)
        )
    )
    shop.process()


def spoil(shop: Shop) -> None:
    """Make every counter wrong, and add some that should not be."""
    for key in list(shop.client.scan_iter(match=f"{counter_keys.PREFIX}*:*")):
        match key.decode().split(":")[2]:
            case "totals" | "minute":
                shop.client.hincrby(key, "page_view", 5)
                shop.client.hincrby(key, "never sent", 5)
            case "users":
                shop.client.pfadd(key, *range(1_000, 1_300))
            case "newest":
                shop.client.delete(key)
    minute = counter_keys.minute_of(datetime.now(UTC))
    shop.client.hset(counter_keys.totals(uuid4()), "page_view", 3)
    shop.client.pfadd(counter_keys.users(shop.tenants[0], minute, "never sent"), 1)


def test_spoilt_counters_are_what_they_were_after_a_rebuild(shop: Shop) -> None:
    traffic(shop)
    before = shop.counters()
    assert reconcile(CELL, shop.settings).agrees
    spoil(shop)
    assert not reconcile(CELL, shop.settings).agrees

    report = rebuild_counters(CELL, shop.settings)

    assert shop.counters() == before
    assert (report.events, report.left_out, report.changed) == (200, 0, True)
    assert report.drift == 5 * 2 * len(shop.tenants) + 3
    assert reconcile(CELL, shop.settings).agrees


def test_counters_that_are_gone_are_what_they_were_and_expire_as_they_did(shop: Shop) -> None:
    traffic(shop)
    before = shop.counters()
    ends = {key: shop.client.expiretime(key) for key in before}
    newest = recent_events(shop.client, shop.tenants[0], 1_000)
    shop.client.delete(*shop.client.keys("rt:*"))

    rebuild_counters(CELL, shop.settings)

    assert shop.counters() == before
    assert {key: shop.client.expiretime(key) for key in ends} == ends
    # Of the newest those of the hour; at the time at which they happened, for when they were counted is forgotten.
    rebuilt = recent_events(shop.client, shop.tenants[0], 1_000)
    assert 0 < len(rebuilt) < len(newest)
    assert {(event.event_type, event.user_id) for event in rebuilt} <= {(e.event_type, e.user_id) for e in newest}
    assert 0 < shop.client.ttl(counter_keys.newest(shop.tenants[0])) <= counter_keys.KEPT_SECONDS
    shop.send(shop.event(0, "purchase", 99))
    shop.process()
    assert recent_events(shop.client, shop.tenants[0], 1)[0].user_id == 99


def test_a_dry_run_says_what_differs_and_changes_nothing(shop: Shop) -> None:
    traffic(shop)
    spoil(shop)
    before = shop.counters()
    report = rebuild_counters(CELL, shop.settings, dry_run=True)
    assert (report.changed, report.drift, report.wrong_totals) == (False, 33, 7)
    assert shop.counters() == before


def test_only_the_given_tenant_is_rebuilt(shop: Shop) -> None:
    traffic(shop)
    right = shop.counters()
    spoil(shop)
    rebuild_counters(CELL, shop.settings, tenant=shop.tenants[1])
    of_tenant = {key: value for key, value in shop.counters().items() if str(shop.tenants[1]) in key}
    assert of_tenant == {key: value for key, value in right.items() if str(shop.tenants[1]) in key}
    assert not reconcile(CELL, shop.settings).agrees


def test_an_event_that_is_stored_and_not_yet_counted_is_counted_once_in_the_end(shop: Shop) -> None:
    traffic(shop, 30)
    shop.send(*(shop.event(n % 3, user=n + 1) for n in range(12)))

    def at_step(step: str) -> None:
        if step == "committed":
            raise KilledError

    killed = shop.processor(at_step=at_step)
    with pytest.raises(KilledError):
        killed.step(0.01)
    killed._forget_connections()

    assert reconcile(CELL, shop.settings).left_out == 12
    report = rebuild_counters(CELL, shop.settings)
    assert (report.events, report.left_out, report.drift) == (30, 12, 0)
    assert reconcile(CELL, shop.settings).agrees
    shop.process()

    comparison = reconcile(CELL, shop.settings)
    assert comparison.agrees
    totals = [value for key, value in shop.counters().items() if key.endswith(":totals")]
    assert sum(sum(each.values()) for each in totals) == 42


def test_an_entry_that_redis_forgot_was_taken_is_left_out_all_the_same(shop: Shop) -> None:
    """As after a torn append-only file: the event is stored, and the entry looks as if nobody had taken it."""
    shop.send(*(shop.event() for _ in range(5)))

    def at_step(step: str) -> None:
        if step == "committed":
            raise KilledError

    killed = shop.processor(at_step=at_step)
    with pytest.raises(KilledError):
        killed.step(0.01)
    killed._forget_connections()
    shop.client.xgroup_destroy("stream:events", "processor")
    shop.queue.set_up()

    assert rebuild_counters(CELL, shop.settings).left_out == 5
    assert not [key for key in shop.counters() if key.endswith(":totals")]
    shop.process()
    assert shop.counters()[counter_keys.totals(shop.tenants[0])] == {"page_view": 5}


def test_a_rebuild_beside_a_running_processor_is_exact(shop: Shop) -> None:
    traffic(shop, 60)
    stop = threading.Event()
    processor = shop.processor(batch=7)
    worker = threading.Thread(target=processor.run, args=(stop,))
    worker.start()
    try:
        sent = 0
        for round_ in range(4):
            spoil(shop)
            for _ in range(5):
                shop.send(*(shop.event(n % 3, user=n % 40 + 1, minutes_ago=n % 9) for n in range(30)))
                sent += 30
            rebuild_counters(CELL, shop.settings)
            assert round_ < 3 or reconcile(CELL, shop.settings).agrees
        while shop.queue.state().depth:
            stop.wait(0.01)
    finally:
        stop.set()
        worker.join()

    totals = [value for key, value in shop.counters().items() if key.endswith(":totals")]
    assert sum(sum(each.values()) for each in totals) == 60 + sent
    live = shop.counters()
    report = rebuild_counters(CELL, shop.settings)
    assert (report.drift, report.left_out) == (0, 0)
    assert shop.counters() == live


def test_an_entry_that_is_settled_while_it_is_left_out_has_the_tenant_computed_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor whose connection to PostgreSQL broke has lost its lock, and settles what it stored."""
    traffic(shop, 6)
    shop.send(*(shop.event(0, "click", 3) for _ in range(4)))

    def at_step(step: str) -> None:
        if step == "committed":
            raise KilledError

    killed = shop.processor(at_step=at_step)
    with pytest.raises(KilledError):
        killed.step(0.01)
    killed._forget_connections()
    settled: list[int] = []
    sketch_keys = rebuild._sketch_keys

    def settled_meanwhile(*arguments: object) -> list[str]:
        if not settled:
            settled.append(1)
            shop.process()
        return sketch_keys(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rebuild, "_sketch_keys", settled_meanwhile)
    monkeypatch.setattr("orchestration.realtime.processor.processing", lambda _: nullcontext())
    rebuild_counters(CELL, shop.settings)

    assert settled == [1]
    assert shop.counters()[counter_keys.totals(shop.tenants[0])]["click"] == 4
    assert reconcile(CELL, shop.settings).agrees
    live = shop.counters()
    assert rebuild_counters(CELL, shop.settings).drift == 0
    assert shop.counters() == live


def test_a_redis_that_is_emptied_during_a_rebuild_ends_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    traffic(shop, 20)
    sketch_keys = rebuild._sketch_keys

    def emptied_meanwhile(*arguments: object) -> list[str]:
        shop.client.flushall()
        return sketch_keys(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rebuild, "_sketch_keys", emptied_meanwhile)
    with pytest.raises(RebuildError, match="repeat the command"):
        rebuild_counters(CELL, shop.settings)


def test_more_types_than_are_told_apart_are_rebuilt_as_they_were_counted(shop: Shop) -> None:
    shop.send(*(shop.event(0, f"invented {n}", n % 5 + 1) for n in range(80)))
    shop.process()
    before = shop.counters()
    shop.client.hincrby(counter_keys.totals(shop.tenants[0]), counter_keys.OTHER, 9)
    rebuild_counters(CELL, shop.settings)
    assert shop.counters() == before
    assert reconcile(CELL, shop.settings).agrees


def test_a_batch_waits_for_a_comparison_and_a_comparison_for_a_batch(shop: Shop) -> None:
    order: list[str] = []
    with shop.connect("loader") as connection, processing(connection):
        comparing = threading.Thread(target=lambda: order.append(f"compared {reconcile(CELL, shop.settings).agrees}"))
        comparing.start()
        comparing.join(0.3)
        order.append("batch ended")
    comparing.join()
    assert order == ["batch ended", "compared True"]


def test_a_comparison_says_by_how_much_and_over_what(shop: Shop) -> None:
    shop.send(*(shop.event(0, user=n + 1, minutes_ago=5) for n in range(150)))
    shop.send(shop.event(1, minutes_ago=5), shop.event(1, minutes_ago=70), shop.event(1))
    shop.process()
    found = reconcile(CELL, shop.settings)
    # The running minute and what is older than the hour are not compared.
    assert (found.counted, found.stored, found.tenants, found.series, found.sketches) == (151, 151, 2, 2, 2)
    assert found.agrees
    assert found.largest_user_error < 0.05

    [minute] = {key.split(":")[3] for key in shop.counters() if key.startswith(f"rt:{shop.tenants[0]}:minute")}
    shop.client.hincrby(counter_keys.minute(shop.tenants[0], minute), "page_view", -1)
    shop.client.delete(counter_keys.users(shop.tenants[0], minute))
    found = reconcile(CELL, shop.settings)
    assert (found.differing, found.drift, found.sketches_beyond_error, found.agrees) == (1, 1, 1, False)
    assert found.relative_drift == pytest.approx(1 / 151)
