-- Of the latest weekly cohorts, who came back after how many weeks; complete once the week is over.
select
    cohort,
    period_offset as week,
    cohort_size,
    users,
    retention_rate,
    is_complete
from marts.fct_cohort_retention
where cohort_name = %(cohort)s and period = 'week'
    and cohort >= (%(start)s::timestamptz at time zone 'UTC')::date
    and return_period < (%(stop)s::timestamptz at time zone 'UTC')::date
    and return_period >= (%(start)s::timestamptz at time zone 'UTC')::date
order by cohort, period_offset
