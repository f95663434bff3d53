-- What the asset pages show of the marts, over all tenants of the cell. One statement per line that starts "-- name:".

-- name: funnel_steps
select funnel, step, min(step_name) as step_name, sum(users)::bigint as users
from marts.fct_funnel
where day between %(first_day)s and %(last_day)s
group by funnel, step
order by funnel, step;

-- name: funnel_days
select day, count(*) as n_rows,
    sum(users) filter (where funnel = %(funnel)s and step = 1)::bigint as entered,
    sum(users) filter (where funnel = %(funnel)s and step = last_step)::bigint as converted
from (
    select day, funnel, step, users, max(step) over (partition by funnel) as last_step
    from marts.fct_funnel
    where day between %(first_day)s and %(last_day)s
) as f
group by day
order by day;

-- name: cohort_names
select cohort_name
from marts.fct_cohort_retention
group by cohort_name
order by min(kind), cohort_name;

-- name: cohort_cells
select cohort, period_offset, sum(users)::bigint as users, bool_and(is_complete) as is_complete
from marts.fct_cohort_retention
where cohort_name = %(cohort_name)s and period = %(period)s
group by cohort, period_offset
order by cohort, period_offset;

-- name: conversion_days
select funnel, day, sum(entered)::bigint as entered, sum(converted)::bigint as converted, bool_and(is_complete) as is_complete
from marts.fct_funnel_conversion
where day between %(first_day)s and %(last_day)s
group by funnel, day
order by funnel, day;

-- name: user_paths
select from_event, to_event, sum(transitions)::bigint as transitions
from marts.fct_user_paths
where day between %(first_day)s and %(last_day)s
group by from_event, to_event
order by transitions desc, from_event, to_event
limit %(most)s;
