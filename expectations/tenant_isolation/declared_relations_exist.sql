select d.name as object, 1 as offenders
from declared as d
where not d.optional
    and not exists (select from actual as a where a.name = d.name);
