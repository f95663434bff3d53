-- The database's regions are the platform's: same regions, same cells, no more and no fewer.
select 'geo.regions (' || coalesce(g.region, r.region) || ')' as object, 1 as offenders
from geo.regions as g
full outer join regions as r on g.region = r.region
where g.region is null
    or r.region is null
    or not (g.residency @> r.residency and r.residency @> g.residency)

union all
select 'platform.cell', 1
where current_setting('proof.cell') is distinct from (select c.cell from platform.cell as c);
