select
    m.domain,
    max(m.version),
    encode(sha256(convert_to(string_agg(m.name || ' ' || m.checksum, e'\n' order by m.version), 'UTF8')), 'hex')
from platform.schema_migrations as m
where m.domain = any(%(domains)s)
group by m.domain
