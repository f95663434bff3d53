-- Files of events that were imported, or are being: how far each is, so that one that was killed goes on where it was, and
-- one that is given again, whenever that is, changes nothing. The tenant's: it goes with the tenant when he moves.
create table analytics.imports (
    tenant_id uuid not null,
    load_id uuid not null,
    source text not null,
    digest text not null check (digest ~ '^[0-9a-f]{64}$'),
    format text not null check (format in ('csv', 'jsonl', 'parquet')),
    mapping text not null,
    mapping_digest text not null check (mapping_digest ~ '^[0-9a-f]{64}$'),
    position bigint not null check (position >= 0),
    next_line bigint not null check (next_line >= 1),
    rows_read bigint not null,
    rows_loaded bigint not null check (rows_loaded >= 0),
    rows_history bigint not null check (rows_history between 0 and rows_loaded),
    rows_repeated bigint not null check (rows_repeated >= 0),
    rows_rejected bigint not null check (rows_rejected >= 0),
    first_time timestamptz,
    last_time timestamptz,
    seconds double precision not null check (seconds >= 0),
    started_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    finished_at timestamptz,
    primary key (tenant_id, load_id),
    check (rows_read = rows_loaded + rows_repeated + rows_rejected)
);

create index idx_imports_load on analytics.imports (load_id);

comment on table analytics.imports is 'Files of events that were imported, and how far those are that are not finished';
comment on column analytics.imports.tenant_id is 'The tenant';
comment on column analytics.imports.load_id is 'The load: follows from the tenant and the file''s content';
comment on column analytics.imports.source is 'Name of the file, without its directory';
comment on column analytics.imports.digest is 'SHA-256 of the file''s content, decompressed';
comment on column analytics.imports.format is 'csv, jsonl or parquet';
comment on column analytics.imports.mapping is 'Name of the mapping';
comment on column analytics.imports.mapping_digest is 'SHA-256 of the mapping: an import goes on with the one it was begun with';
comment on column analytics.imports.position is 'Bytes of the content, or rows of a Parquet file, that are done';
comment on column analytics.imports.next_line is 'Line, or row, that comes next, from 1';
comment on column analytics.imports.rows_read is 'Records that are done';
comment on column analytics.imports.rows_loaded is 'Of these, written';
comment on column analytics.imports.rows_history is 'Of the written, those older than a year, in analytics.events_history';
comment on column analytics.imports.rows_repeated is 'Events that were there already';
comment on column analytics.imports.rows_rejected is 'Refused; each has an entry in platform.load_rejects';
comment on column analytics.imports.first_time is 'The earliest event';
comment on column analytics.imports.last_time is 'The latest event';
comment on column analytics.imports.seconds is 'Time spent importing, all attempts together';
comment on column analytics.imports.started_at is 'When its first block was committed';
comment on column analytics.imports.updated_at is 'When its latest block was committed';
comment on column analytics.imports.finished_at is 'When the last one was, NULL until then';

alter table analytics.imports enable row level security;
alter table analytics.imports force row level security;
create policy tenant_isolation on analytics.imports
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));
