-- The ledger is made by the migration runner before the first migration; from here on it belongs to the owner.
alter table platform.schema_migrations owner to owner;
grant select on platform.schema_migrations to auditor;

set local role owner;

create table platform.cell (
    cell text not null check (cell in ('na', 'eu', 'apac')),
    singleton boolean not null default true primary key check (singleton)
);

comment on table platform.cell is 'The one cell that this database is';
comment on column platform.cell.cell is 'na, eu or apac; recorded at the first migration, compared at every later one';
comment on column platform.cell.singleton is 'Always true: there is one row';

grant select on platform.cell to loader, transformer;
