select s.name || ' (' || s.medium || ')' as object, 1 as offenders
from stores as s
where not exists (select from survey as f where f.store = s.name and f.state in ('surveyed', 'unsurveyed'));
