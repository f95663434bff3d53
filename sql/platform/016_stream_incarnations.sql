set local role owner;

-- How far the stream processor is, written in the transaction that stores a batch. Redis, which holds the queue, cannot
-- tell by itself that it was emptied or has lost its newest entries; this remembers what it must still know. One row is
-- open; recovery closes it, with what could not be accounted for, and opens the next.
create table platform.stream_incarnations (
    incarnation uuid primary key,
    opened_at timestamptz not null default clock_timestamp(),
    newest_ms bigint not null default 0,
    newest_seq bigint not null default 0,
    appended bigint not null default 0,
    oldest_ms bigint,
    waiting bigint not null default 0 check (waiting >= 0),
    dead_letters bigint not null default 0 check (dead_letters >= 0),
    progressed_at timestamptz not null default clock_timestamp(),
    closed_at timestamptz,
    closed_because text,
    lost_from timestamptz,
    lost_to timestamptz,
    lost_at_least bigint check (lost_at_least >= 0),
    check ((closed_at is null) = (closed_because is null))
);

create unique index idx_stream_incarnations_open on platform.stream_incarnations ((closed_at is null))
where closed_at is null;

comment on table platform.stream_incarnations is
'Lives of the cell''s queue in Redis: how far the open one was when a batch was last stored, and what was lost with those that ended';
comment on column platform.stream_incarnations.incarnation is 'What the queue itself must say that it is';
comment on column platform.stream_incarnations.opened_at is 'When the processor first saw it';
comment on column platform.stream_incarnations.newest_ms is 'Newest position that was ever appended: milliseconds';
comment on column platform.stream_incarnations.newest_seq is 'Newest position that was ever appended: number within the millisecond';
comment on column platform.stream_incarnations.appended is 'Entries that were ever appended';
comment on column platform.stream_incarnations.oldest_ms is 'When the oldest entry that waited was accepted, in milliseconds since 1970; NULL when none did';
comment on column platform.stream_incarnations.waiting is 'Entries that waited, without those of the batch';
comment on column platform.stream_incarnations.dead_letters is 'Dead letters that there were';
comment on column platform.stream_incarnations.progressed_at is 'When a batch was last stored';
comment on column platform.stream_incarnations.closed_at is 'When recovery ended it, NULL for the open one';
comment on column platform.stream_incarnations.closed_because is 'What had happened to it';
comment on column platform.stream_incarnations.lost_from is 'Entries accepted from here on could not be accounted for';
comment on column platform.stream_incarnations.lost_to is 'Entries accepted until then could not be accounted for';
comment on column platform.stream_incarnations.lost_at_least is 'Entries known to be lost; how many were accepted after progressed_at is not known';

grant select, insert, update on platform.stream_incarnations to loader;
