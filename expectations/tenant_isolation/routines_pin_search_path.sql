-- A function that finds its tables by the caller's search_path reads whatever the caller puts there. A body that the
-- server keeps parsed was bound when it was made. Any other setting acts on all that the function calls: only taking the
-- tenant's context away is harmless.
select r.name || ' (' || split_part(x.setting, '=', 1) || ')' as object, 1 as offenders
from routines as r
cross join unnest(r.proconfig) as x (setting)
where x.setting !~ '^search_path=' and x.setting not in ('app.current_tenant=', 'app.current_tenant=""')

union all
select r.name, 1
from routines as r
where not r.is_parsed
    and r.language not in ('c', 'internal')
    and not exists (select from unnest(r.proconfig) as x (setting) where x.setting ~ '^search_path=');
