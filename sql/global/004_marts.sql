set local role publishing_owner;

-- Every view begins with the regions and not with the rows: a cell that is away or never published is a line that says
-- so, with its last values and their age, and never a zero or a gap.
create view marts.cells as
with totals as (
    select
        p.region,
        p.dataset,
        count(*) as refreshes,
        max(p.published_at) as published_at,
        sum(p.published)::bigint as published,
        sum(p.groups)::bigint as groups,
        sum(p.merged)::bigint as merged,
        sum(p.suppressed)::bigint as suppressed,
        sum(p.withheld)::bigint as withheld
    from publishing.publications as p
    group by p.region, p.dataset
)

select
    r.region,
    d.dataset,
    case
        when n.as_of is null then 'never'
        when now() - n.as_of > publishing.stale_after() then 'stale'
        else 'fresh'
    end as state,
    n.as_of,
    date_trunc('second', now() - n.as_of) as age,
    n.closed_through,
    coalesce(t.refreshes, 0) as refreshes,
    t.published,
    t.groups,
    t.merged,
    t.suppressed,
    t.withheld,
    n.k
from publishing.regions as r
cross join publishing.datasets as d
left join totals as t on r.region = t.region and d.dataset = t.dataset
left join publishing.publications as n
    on t.region = n.region and t.dataset = n.dataset and t.published_at = n.published_at;

comment on view marts.cells is 'Every cell and dataset: fresh, stale or never published, its age, and how many groups were held back';

create view marts.funnel as
select
    c.region,
    c.state,
    c.age,
    f.funnel,
    f.week,
    f.detail,
    f.first_step as step,
    f.step_name,
    -- Who got further took this step too.
    (sum(f.persons) over further)::bigint as persons,
    (sum(f.persons) over whole)::bigint as persons_entered,
    (sum(f.persons) over further / sum(f.persons) over whole)::double precision as conversion_rate
from marts.cells as c
left join publishing.funnel as f on c.region = f.region
where c.dataset = 'funnel'
window
    whole as (partition by c.region, f.funnel, f.week),
    further as (partition by c.region, f.funnel, f.week order by f.first_step desc);

comment on view marts.funnel is 'Funnel by region and week: persons who reached each step that is shown. A region without rows is one line of nulls with its state';

create view marts.cohorts as
select
    c.region,
    c.state,
    c.age,
    r.cohort_name,
    r.cohort,
    r.weeks_later,
    r.persons,
    w.persons as cohort_persons,
    (r.persons::double precision / w.persons) as retention_rate
from marts.cells as c
left join publishing.cohorts as r on c.region = r.region
left join publishing.cohorts as w
    on r.region = w.region and r.cohort_name = w.cohort_name and r.cohort = w.cohort and w.weeks_later = 0
where c.dataset = 'cohorts';

comment on view marts.cohorts is 'Cohort retention by region and week. A region without rows is one line of nulls with its state';

create view marts.revenue as
select
    c.region,
    c.state,
    c.age,
    r.day,
    r.currency,
    r.persons,
    r.orders,
    r.revenue
from marts.cells as c
left join publishing.revenue as r on c.region = r.region
where c.dataset = 'revenue';

comment on view marts.revenue is 'Revenue by region, day and currency. A region without rows is one line of nulls with its state';

grant select on marts.cells, marts.funnel, marts.cohorts, marts.revenue to publisher, reader;
