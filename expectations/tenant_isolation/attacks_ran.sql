select a.object || ' (' || a.attack || ')' as object, a.offenders
from attacks as a
where a.state = 'unproven'

union all
select 'live attacks', 1
where not exists (select from attacks);
