-- name, groups: how many groups of each dataset are below k persons, of the views that people read, and of what two rows
-- of them differ by: a step and the next one that is shown, a cohort and who came back.
select 'funnel' as dataset, count(*) filter (where least(f.persons, f.persons - f.next_persons) < %(k)s) as groups
from (
    select
        v.persons,
        coalesce(lead(v.persons) over (partition by v.region, v.funnel, v.week order by v.step), 0) as next_persons
    from marts.funnel as v
    where v.week is not null
) as f

union all
select
    'cohorts',
    count(*) filter (
        where v.persons < %(k)s or (v.weeks_later > 0 and coalesce(v.cohort_persons - v.persons, 0) < %(k)s)
    )
from marts.cohorts as v
where v.cohort is not null

union all
select 'revenue', count(*) filter (where v.persons < %(k)s)
from marts.revenue as v
where v.day is not null
order by dataset;
