-- The days that a refresh has to look at, oldest first: of the current one only its hours are kept.
select public.time_bucket('1 day', h.bucket) as day
from analytics.changed_hours as h
union
select d.bucket
from analytics.changed_days as d
where d.bucket < public.time_bucket('1 day', now())
order by 1
