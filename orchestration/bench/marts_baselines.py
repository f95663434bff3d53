"""The same funnels and cohorts, exactly, in other ways: DuckDB's, and the self-join that people write first.

Each is correct only for funnels whose steps are different event types, which is what is measured: there, the first
event of the next step that is not earlier than the step before is never worse than a later one.
"""

# ruff: noqa: S608 -- relations and steps are the benchmark's constants

from collections.abc import Sequence

# Rows in DuckDB: tenant_id uuid, user_id bigint, t timestamptz, event_type varchar.


def _numbers(last: int, text: str, separator: str = ", ", first: int = 1) -> str:
    """Return ``text`` for each number from ``first`` to ``last``; # stands for the number, @ for the one before."""
    return separator.join(text.replace("#", str(k)).replace("@", str(k - 1)) for k in range(first, last + 1))


def duckdb_funnel(steps: Sequence[str], window_seconds: int) -> str:
    """Return DuckDB's query: per tenant one row with users, average and median seconds of each step.

    ASOF joins walk from each start to the earliest event of the next step. Of all starts only those matter that are
    the latest before some event of step 2, and any one of a user who never gets that far.
    """
    count = len(steps)
    of_step = ",\n".join(
        f"e{k} as (select tenant_id, user_id, t from events where event_type = '{step}' and user_id is not null)"
        for k, step in enumerate(steps, 1)
    )
    walks = "".join(
        f",\na{k} as (\n"
        f"    select a.*, case when b.t <= a.t1 + interval {window_seconds} seconds then b.t end as t{k}\n"
        f"    from a{k - 1} as a asof left join e{k} as b\n"
        f"        on a.tenant_id = b.tenant_id and a.user_id = b.user_id and b.t >= a.t{k - 1}\n"
        ")"
        for k in range(2, count + 1)
    )
    ordering = ", ".join(
        [
            f"-({_numbers(count, '(t# is not null)::int', ' + ')})",
            f"epoch_us(coalesce({', '.join(f't{k}' for k in range(count, 0, -1))}))",
            "-epoch_us(t1)",
            *(f"epoch_us(t{k})" for k in range(2, count)),
        ]
    )
    figures = "".join(
        f", count(best.t{k}), avg(epoch_us(best.t{k}) - epoch_us(best.t{k - 1})) / 1e6,"
        f" median((epoch_us(best.t{k}) - epoch_us(best.t{k - 1})) / 1e6)"
        for k in range(2, count + 1)
    )
    return (
        f"with {of_step},\n"
        "a1 as (\n"
        "    select tenant_id, user_id, min(t) as t1 from e1 group by all\n"
        "    union\n"
        "    select b.tenant_id, b.user_id, a.t from e2 as b asof join e1 as a\n"
        "        on a.tenant_id = b.tenant_id and a.user_id = b.user_id and a.t <= b.t\n"
        ")"
        f"{walks},\n"
        f"paths as (select tenant_id, arg_min(struct_pack({_numbers(count, 't# := t#')}), row({ordering})) as best\n"
        f"    from a{count} group by tenant_id, user_id)\n"
        f"select tenant_id, count(best.t1){figures} from paths group by tenant_id"
    )


def self_join_funnel(steps: Sequence[str], window_seconds: int, events: str) -> str:
    """Return PostgreSQL's plain self-join for the same rows; ``events`` is a relation like ``stg_events``."""
    count = len(steps)
    walks = ""
    for k in range(2, count + 1):
        before = _numbers(k - 1, "a.t#")
        walks += (
            f",\na{k} as (\n"
            f"    select a.tenant_id, a.user_id, {before}, min(e.occurred_at) as t{k}\n"
            f"    from a{k - 1} as a\n"
            f"    left join {events} as e on e.tenant_id = a.tenant_id and e.user_id = a.user_id\n"
            f"        and e.event_type = '{steps[k - 1]}' and e.occurred_at >= a.t{k - 1}\n"
            f"        and e.occurred_at <= a.t1 + interval '{window_seconds} seconds'\n"
            f"    group by a.tenant_id, a.user_id, {before}\n"
            ")"
        )
    last = ", ".join(f"t{k}" for k in range(count, 0, -1))
    figures = "".join(
        f", count(t{k}), avg(extract(epoch from t{k} - t{k - 1})), percentile_cont(0.5) within group"
        f" (order by date_part('epoch', t{k} - t{k - 1}))"
        for k in range(2, count + 1)
    )
    return (
        "with a1 as (\n"
        f"    select e.tenant_id, e.user_id, e.occurred_at as t1 from {events} as e\n"
        f"    where e.event_type = '{steps[0]}' and e.user_id is not null\n"
        ")"
        f"{walks},\n"
        f"best as (select distinct on (tenant_id, user_id) * from a{count}\n"
        f"    order by tenant_id, user_id, num_nonnulls({last}) desc, coalesce({last}), t1 desc"
        f"{_numbers(count - 1, ', t#', '', first=2)})\n"
        f"select tenant_id, count(t1){figures} from best group by tenant_id"
    )


def duckdb_retention() -> str:
    """Return DuckDB's query for weekly first-time cohorts of any event: cohort, offset in weeks, users."""
    return (
        "with active as (\n"
        "    select distinct tenant_id, user_id, date_trunc('week', t)::date as week\n"
        "    from events where user_id is not null\n"
        "),\n"
        "cohorts as (select tenant_id, user_id, min(week) as cohort from active group by all)\n"
        "select cohort, (week - cohort) // 7, count(*)\n"
        "from active inner join cohorts using (tenant_id, user_id) group by all order by all"
    )


def naive_retention(events: str) -> str:
    """Return the join that people write first for the same rows: every event of every user of every cohort."""
    return (
        "with cohorts as (\n"
        "    select tenant_id, user_id, date_trunc('week', min(occurred_at) at time zone 'UTC')::date as cohort\n"
        f"    from {events} as e where user_id is not null group by 1, 2\n"
        ")\n"
        "select c.cohort, (date_trunc('week', e.occurred_at at time zone 'UTC')::date - c.cohort) / 7,\n"
        "    count(distinct (c.tenant_id, c.user_id))\n"
        f"from cohorts as c inner join {events} as e on e.tenant_id = c.tenant_id and e.user_id = c.user_id\n"
        "group by 1, 2 order by 1, 2"
    )
