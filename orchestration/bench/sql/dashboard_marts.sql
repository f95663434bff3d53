-- The marts that the dashboard reads, with as many rows per tenant, the indexes and the row security that dbt gives
-- them. Their figures are made up: what is measured is reading them.
create table marts.fct_funnel_conversion as
select
    t.id as tenant_id,
    f.funnel,
    %(today)s::date - n.days_ago as day,
    100::bigint as entered,
    10::bigint as converted,
    n.days_ago > 1 as is_complete
from saas.tenants as t
cross join (values ('purchase'), ('visit_to_purchase')) as f (funnel)
cross join generate_series(0, %(days)s - 1) as n (days_ago);

create unique index on marts.fct_funnel_conversion (tenant_id, funnel, day);

create table marts.fct_cohort_retention as
select
    t.id as tenant_id,
    c.cohort_name,
    p.period,
    date_trunc(p.period, %(today)s::timestamp)::date - p.days * n.ago as cohort,
    o.period_offset,
    date_trunc(p.period, %(today)s::timestamp)::date - p.days * (n.ago - o.period_offset) as return_period,
    100::bigint as cohort_size,
    10::bigint as users,
    0.1::double precision as retention_rate,
    true as is_complete
from saas.tenants as t
cross join (values ('first_purchase'), ('returning_buyers')) as c (cohort_name)
cross join (values ('day', 1), ('week', 7)) as p (period, days)
cross join lateral generate_series(0, %(days)s / p.days) as n (ago)
cross join lateral generate_series(0, n.ago) as o (period_offset);

create unique index on marts.fct_cohort_retention (tenant_id, cohort_name, period, return_period, cohort);
create index on marts.fct_cohort_retention (period, return_period);

create table marts.fct_event_trends as
select
    d.tenant_id,
    (d.bucket at time zone 'UTC')::date as day,
    d.event_type,
    sum(d.event_count)::bigint as events,
    100::bigint as events_week_before,
    0.1::double precision as change_rate,
    100::double precision as expected,
    0.1::double precision as score,
    'usual' as trend
from analytics.events_daily as d
where d.bucket < %(today)s::timestamp at time zone 'UTC'
group by d.tenant_id, d.bucket, d.event_type;

create unique index on marts.fct_event_trends (tenant_id, event_type, day);
create index on marts.fct_event_trends (day);

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
