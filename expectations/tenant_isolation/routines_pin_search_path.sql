-- A function that finds its tables by the caller's search_path reads whatever the caller puts there. A body that the
-- server keeps parsed was bound when it was made.
select r.name as object, 1 as offenders
from routines as r
where not r.is_parsed
    and r.language not in ('c', 'internal')
    and not exists (select from unnest(r.proconfig) as x (setting) where x.setting ~ '^search_path=');
