-- Nobody reaches a step without the one before, and a row's steps are all there.
{{ config(meta={'dagster': {'ref': {'name': 'fct_funnel'}}}) }}

select tenant_id, funnel, day, step
from (
    select
        tenant_id,
        funnel,
        day,
        step,
        users,
        lag(users) over in_order as users_before,
        row_number() over in_order as expected_step
    from {{ ref('fct_funnel') }}
    where {{ in_run_dates('day', before=longest_funnel_lookback() | int) }}
    window in_order as (partition by tenant_id, funnel, day order by step)
) as f
where users > users_before or step <> expected_step
