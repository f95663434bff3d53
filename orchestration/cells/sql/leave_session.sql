-- Before a transaction of a tenant is committed: nothing of its session is left for the next borrower of the connection.
-- Deferred checks first, while they still have the tenant's context; held cursors would hand its rows on.
set constraints all immediate;
close all;
unlisten *;
reset all;
-- Statements that somebody prepared by name; those of the driver itself are of no tenant.
select exists (select from pg_catalog.pg_prepared_statements as s where s.from_sql);
