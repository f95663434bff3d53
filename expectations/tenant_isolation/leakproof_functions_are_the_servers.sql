-- A function marked LEAKPROOF may be called on rows before a policy or a security barrier has dropped them.
select p.oid::regprocedure::text || ' (leakproof)' as object, 1 as offenders
from pg_proc as p
where p.proleakproof
    and (
        -- Above this number are the objects that are not the server's own.
        p.oid >= 16384
        -- A row of the server's that was changed since bears the number of a transaction; as installed, of none.
        or p.xmin::text::bigint > (select max(i.xmin::text::bigint) from pg_init_privs as i where i.privtype = 'i')
    );
