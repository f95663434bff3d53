set local role owner;

create table platform.loads (
    load_id uuid primary key default gen_random_uuid(),
    asset text not null,
    origin text not null check (origin in ('app', 'import', 'synthetic', 'stream')),
    partition_key text,
    source text not null,
    rows_read bigint not null check (rows_read >= 0),
    rows_loaded bigint not null check (rows_loaded >= 0),
    rows_rejected bigint not null check (rows_rejected >= 0),
    started_at timestamptz not null,
    finished_at timestamptz not null check (finished_at >= started_at)
);

create index idx_loads_asset on platform.loads (asset, partition_key, finished_at desc);

comment on table platform.loads is 'One row per finished bulk load: where rows came from and what became of them';
comment on column platform.loads.load_id is 'The load; rows it wrote carry it';
comment on column platform.loads.asset is 'Key of the asset that was loaded';
comment on column platform.loads.origin is 'Where the rows come from; a replacement deletes only its own origin, load and partition';
comment on column platform.loads.partition_key is 'Partition that was loaded, NULL for an unpartitioned asset';
comment on column platform.loads.source is 'File or generator, without any row''s content';
comment on column platform.loads.rows_read is 'Rows the source held';
comment on column platform.loads.rows_loaded is 'Rows written';
comment on column platform.loads.rows_rejected is 'Rows refused; each has an entry in platform.load_rejects';
comment on column platform.loads.started_at is 'When reading began';
comment on column platform.loads.finished_at is 'When the rows were committed';

create table platform.load_rejects (
    load_id uuid not null references platform.loads (load_id) on delete cascade,
    line bigint not null check (line >= 1),
    column_name text,
    reason text not null
);

create index idx_load_rejects_load on platform.load_rejects (load_id, line);

comment on table platform.load_rejects is 'Why a row was refused; never the row''s content, which may be personal';
comment on column platform.load_rejects.load_id is 'The load that refused it';
comment on column platform.load_rejects.line is 'Line of the source, counted from 1';
comment on column platform.load_rejects.column_name is 'Column at fault, NULL when the whole line is';
comment on column platform.load_rejects.reason is 'What is wrong, without the value';

grant select, insert, update, delete on platform.loads, platform.load_rejects to loader;
grant select on platform.loads, platform.load_rejects to transformer;
