-- In an untrusted language a function does what the server's operating system user may. C and internal are there in
-- every server, for superusers only, as long as nobody marks them as trusted.
select l.lanname || ' (language)' as object, 1 as offenders
from pg_language as l
where l.lanname not in ('internal', 'c', 'sql', 'plpgsql')
    or (l.lanname in ('internal', 'c') and l.lanpltrusted);
