-- Databases of this server that may be entered, or that nobody may enter, beside those of these names. Of those that this
-- role alone may not enter, on a server that a provider keeps, nothing can be said; a superuser may enter all.
select
    d.datname as name,
    d.datallowconn as may_be_entered
from pg_database as d
where d.datname <> all(%(known)s)
    -- The server's own pattern for new databases: nobody enters it, and nothing is written to it.
    and (d.datname <> 'template0' or d.datallowconn)
    and has_database_privilege(d.oid, 'connect')
order by d.datname
