-- A schema of one tenant, with the defaults of the shared ones (platform/003_schemas.sql): a table that a migration adds
-- is readable for the proofs, loadable, and closed to app until the migration grants it.
create schema if not exists {schema} authorization owner;
grant usage on schema {schema} to app, loader, transformer, auditor;
alter default privileges for role owner in schema {schema} grant select on tables to auditor, transformer;
alter default privileges for role owner in schema {schema} grant select, insert, update, delete on tables to loader;
alter default privileges for role owner in schema {schema} grant usage, select, update on sequences to loader;
