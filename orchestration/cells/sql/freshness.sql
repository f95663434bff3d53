select r.relation, f.complete_until, clock_timestamp() - f.complete_until
from unnest(%s::text[]) as r (relation)
left join platform.replica_freshness as f on r.relation = f.relation and f.home = %s
