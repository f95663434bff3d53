-- A function that no migration makes, or whose text is not the last migration's. Of the few that the server keeps parsed
-- there is no text to compare: the context's are looked at by tenant_context_is_exact.
select
    r.name || case when r.declared_name in (select x.name from declared_routines as x) then ' (changed)' else '' end
        as object,
    1 as offenders
from routines as r
left join declared_routines as d
    on r.declared_name = d.name
    and r.prosecdef = d.definer
    and (r.body = d.body or (r.is_parsed and d.body is null))
where d.name is null;
