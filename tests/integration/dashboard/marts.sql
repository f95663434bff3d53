-- Marts as dbt leaves them, with the columns that the dashboard reads and a few rows of two tenants.
create table marts.fct_funnel_conversion (
    tenant_id uuid not null,
    funnel text not null,
    day date not null,
    entered bigint not null,
    converted bigint not null,
    is_complete boolean not null
);

insert into marts.fct_funnel_conversion
select
    t.tenant_id,
    f.funnel,
    date '2026-03-11' - n.days_ago,
    n.days_ago + t.entered,
    n.days_ago %% 3,
    n.days_ago > 1
from (values (%(first)s::uuid, 10), (%(second)s::uuid, 90)) as t (tenant_id, entered)
cross join (values ('purchase'), ('visit_to_purchase')) as f (funnel)
cross join generate_series(0, 40) as n (days_ago)
-- On some days nobody entered.
where n.days_ago not in (4, 5, 12);

create table marts.fct_cohort_retention (
    tenant_id uuid not null,
    cohort_name text not null,
    period text not null,
    cohort date not null,
    period_offset integer not null,
    return_period date not null,
    cohort_size bigint not null,
    users bigint not null,
    retention_rate double precision not null,
    is_complete boolean not null
);

insert into marts.fct_cohort_retention
select
    t.tenant_id,
    c.cohort_name,
    p.period,
    date '2026-03-09' - 7 * n.weeks_ago,
    o.period_offset,
    date '2026-03-09' - 7 * n.weeks_ago + 7 * o.period_offset,
    t.size,
    t.size - o.period_offset,
    (t.size - o.period_offset)::double precision / t.size,
    o.period_offset < n.weeks_ago
from (values (%(first)s::uuid, 50), (%(second)s::uuid, 500)) as t (tenant_id, size)
cross join (values ('first_purchase'), ('returning_buyers')) as c (cohort_name)
cross join (values ('week'), ('day')) as p (period)
cross join generate_series(0, 20) as n (weeks_ago)
cross join lateral generate_series(0, n.weeks_ago) as o (period_offset);

create table marts.fct_event_trends (
    tenant_id uuid not null,
    day date not null,
    event_type text not null,
    events bigint not null,
    events_week_before bigint,
    change_rate double precision,
    expected double precision,
    score double precision,
    trend text not null
);

insert into marts.fct_event_trends
select
    t.tenant_id,
    d.day,
    e.event_type,
    t.events,
    10,
    0,
    t.events,
    e.score,
    'usual'
from (values (%(first)s::uuid, 10), (%(second)s::uuid, 90)) as t (tenant_id, events)
cross join (values (date '2026-03-09'), (date '2026-03-10')) as d (day)
cross join (values ('click', 1), ('search', -2), ('purchase', null)) as e (event_type, score);

do $$
declare
    mart text;
begin
    foreach mart in array array['fct_funnel_conversion', 'fct_cohort_retention', 'fct_event_trends'] loop
        execute format('alter table marts.%%I owner to transformer', mart);
        execute format('alter table marts.%%I enable row level security', mart);
        execute format('alter table marts.%%I force row level security', mart);
        execute format(
            'create policy tenant_isolation on marts.%%I using (tenant_id = (select platform.current_tenant()))', mart
        );
        execute format('grant select on marts.%%I to app', mart);
    end loop;
end
$$;
