set local role publishing_owner;

create table publishing.regions (
    region text primary key check (region ~ '^[a-z]+$')
);

comment on table publishing.regions is 'The cells that publish; one that never did is shown as such';
comment on column publishing.regions.region is 'The cell';

insert into publishing.regions (region) values ('na'), ('eu'), ('apac');

create table publishing.datasets (
    dataset text primary key
);

comment on table publishing.datasets is 'What may be published; anything else is refused';
comment on column publishing.datasets.dataset is 'Its name';

insert into publishing.datasets (dataset) values ('funnel'), ('cohorts'), ('revenue');

-- One row a refresh. Appended only: the publisher has no privilege to change or remove a row here or in a dataset.
create table publishing.publications (
    publication_id uuid primary key,
    region text not null references publishing.regions (region),
    dataset text not null references publishing.datasets (dataset),
    as_of timestamptz not null,
    published_at timestamptz not null default clock_timestamp(),
    closed_through date not null,
    k integer not null check (k >= 5),
    tenants integer not null check (tenants >= 3),
    dominance_percent integer not null check (dominance_percent between 1 and 100),
    rounding integer not null check (rounding >= 1 and k % rounding = 0),
    groups bigint not null check (groups >= 0),
    merged bigint not null check (merged >= 0),
    suppressed bigint not null check (suppressed >= 0),
    withheld bigint not null check (withheld >= 0),
    published bigint not null check (published >= 0),
    unique (region, dataset, published_at),
    check (merged + suppressed + withheld <= groups),
    check (as_of <= published_at + interval '5 minutes'),
    -- Rows name these three, so that none is under another region, dataset or threshold than its publication.
    unique (publication_id, region, dataset, k)
);

comment on table publishing.publications is 'Each refresh of a dataset by a cell: until when, by which rule, and what was held back';
comment on column publishing.publications.publication_id is 'The refresh';
comment on column publishing.publications.region is 'The cell';
comment on column publishing.publications.dataset is 'What was published';
comment on column publishing.publications.as_of is 'When the cell built the aggregates';
comment on column publishing.publications.published_at is 'When they arrived here';
comment on column publishing.publications.closed_through is 'Periods that had settled by this day are closed: published, or not, for good';
comment on column publishing.publications.k is 'Fewest persons of a published group, at that time';
comment on column publishing.publications.tenants is 'Fewest merchants of a published group, at that time';
comment on column publishing.publications.dominance_percent is 'p of the p%% rule, at that time';
comment on column publishing.publications.rounding is 'What counts of persons and orders were rounded to a multiple of';
comment on column publishing.publications.groups is 'Groups of the periods that this refresh closed, at the finest';
comment on column publishing.publications.merged is 'Of these, published within a coarser group only';
comment on column publishing.publications.suppressed is 'Of these, not published';
comment on column publishing.publications.withheld is 'Of these, held back at the border, for they would not fit what is published';
comment on column publishing.publications.published is 'Rows that this refresh added';

create function publishing.stale_after() returns interval
language sql immutable
set search_path = pg_catalog
-- Cells publish once a day, within an hour after midnight; a refresh may take some hours, and one may be repeated.
return interval '30 hours';

comment on function publishing.stale_after() is 'Age from which a cell''s aggregates are stale';

grant execute on function publishing.stale_after() to publisher, reader;
grant select on publishing.regions, publishing.datasets, publishing.publications to publisher;
grant insert on publishing.publications to publisher;
