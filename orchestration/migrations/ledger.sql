-- Made by the runner before the first migration, by the administrator; idempotent.
create schema if not exists platform;

create table if not exists platform.schema_migrations (
    domain text not null,
    version integer not null check (version > 0),
    name text not null,
    checksum text not null check (checksum ~ '^[0-9a-f]{64}$'),
    applied_at timestamptz not null default now(),
    duration_ms integer not null check (duration_ms >= 0),
    primary key (domain, version)
);

comment on table platform.schema_migrations is 'Migrations that were applied to this database';
comment on column platform.schema_migrations.domain is 'platform, geo, saas, ecommerce or analytics';
comment on column platform.schema_migrations.version is 'Number of the file, from 1';
comment on column platform.schema_migrations.name is 'Name of the file';
comment on column platform.schema_migrations.checksum is 'SHA-256 of its content; an applied file must not change';
comment on column platform.schema_migrations.applied_at is 'When it was applied';
comment on column platform.schema_migrations.duration_ms is 'How long that took, in milliseconds';
