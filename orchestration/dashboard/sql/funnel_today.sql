-- How far those got who started today (UTC): the rows that fct_funnel will have of the day, from the events up to now.
with asked_events as (
    select
        tenant_id,
        user_id,
        time as occurred_at,
        event_type,
        properties
    from analytics.tenant_events
    where time >= %(start)s and time < %(stop)s and user_id is not null
)

select
    s.step,
    ({{ step_names }})[s.step] as step_name,
    s.users,
    s.users::double precision / first_value(s.users) over in_order as conversion_rate,
    s.users::double precision / nullif(lag(s.users) over in_order, 0) as step_conversion_rate,
    s.avg_seconds,
    s.median_seconds
from {{ steps }} as s
window in_order as (order by s.step)
order by s.step
