select a.name as object, 1 as offenders
from actual as a
where not exists (select from declared as d where d.name = a.name);
