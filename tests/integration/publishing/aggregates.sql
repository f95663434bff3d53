-- The relations that dbt would build, as it builds them.
create table marts.agg_funnel (
    region text not null, closes_on date not null, funnel text not null, week date not null, detail text not null,
    first_step integer not null, last_step integer not null, step_name text not null, persons bigint not null
);
create table marts.agg_cohort_retention (
    region text not null, closes_on date not null, cohort_name text not null, cohort date not null,
    weeks_later integer not null, persons bigint not null
);
create table marts.agg_daily_revenue (
    region text not null, closes_on date not null, day date not null, currency text not null, persons bigint not null,
    orders bigint not null, revenue numeric(16, 2)
);
create table marts.agg_closed_periods (
    region text not null, dataset text not null, closes_on date not null, groups bigint not null, merged bigint not null,
    suppressed bigint not null, as_of timestamptz not null
);
grant select on marts.agg_funnel, marts.agg_cohort_retention, marts.agg_daily_revenue, marts.agg_closed_periods
to publisher;
