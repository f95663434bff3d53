select f.object, f.offenders
from survey as f
where f.state in ('unsurveyed', 'unsure')

union all
select 'the survey', 1
where not exists (select from stores);
