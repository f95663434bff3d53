set local role publishing_owner;

-- A row is a group of at least k persons, whoever writes it. Keys are without the publication: a group is published
-- once, so that nobody ever sees two states of it to compare.
create table publishing.funnel (
    publication_id uuid not null,
    region text not null,
    dataset text not null default 'funnel' check (dataset = 'funnel'),
    k integer not null,
    closes_on date not null,
    funnel text not null,
    week date not null check (extract(isodow from week) = 1),
    detail text not null check (detail in ('steps', 'conversion', 'entered')),
    first_step integer not null check (first_step >= 1),
    last_step integer not null check (last_step >= first_step),
    step_name text not null,
    persons bigint not null check (persons >= k),
    primary key (region, funnel, week, first_step),
    foreign key (publication_id, region, dataset, k)
    references publishing.publications (publication_id, region, dataset, k)
);

comment on table publishing.funnel is 'Persons who entered the funnel in a week, by the furthest step they reached; each person in one row of a region and week';
comment on column publishing.funnel.publication_id is 'The refresh that added the row';
comment on column publishing.funnel.region is 'The cell';
comment on column publishing.funnel.dataset is 'Always funnel; for the reference to the refresh';
comment on column publishing.funnel.k is 'Fewest persons of a group, at that time';
comment on column publishing.funnel.closes_on is 'Day on which the week had settled';
comment on column publishing.funnel.funnel is 'The funnel''s name, as configured';
comment on column publishing.funnel.week is 'Monday of the week (ISO, UTC) of the start';
comment on column publishing.funnel.detail is 'steps: a row a step; conversion: steps before the last are one row; entered: all are one';
comment on column publishing.funnel.first_step is 'First of the furthest steps in the row';
comment on column publishing.funnel.last_step is 'Last of them';
comment on column publishing.funnel.step_name is 'Name of first_step';
comment on column publishing.funnel.persons is 'Persons, rounded';

create table publishing.cohorts (
    publication_id uuid not null,
    region text not null,
    dataset text not null default 'cohorts' check (dataset = 'cohorts'),
    k integer not null,
    closes_on date not null,
    cohort_name text not null,
    cohort date not null check (extract(isodow from cohort) = 1),
    weeks_later integer not null check (weeks_later >= 0),
    persons bigint not null check (persons >= k),
    primary key (region, cohort_name, cohort, weeks_later),
    foreign key (publication_id, region, dataset, k)
    references publishing.publications (publication_id, region, dataset, k)
);

comment on table publishing.cohorts is 'Persons by the week in which they first did what makes the cohort, and how many of them came back weeks later';
comment on column publishing.cohorts.publication_id is 'The refresh that added the row';
comment on column publishing.cohorts.region is 'The cell';
comment on column publishing.cohorts.dataset is 'Always cohorts; for the reference to the refresh';
comment on column publishing.cohorts.k is 'Fewest persons of a group, at that time';
comment on column publishing.cohorts.closes_on is 'Day on which the week that is counted had settled';
comment on column publishing.cohorts.cohort_name is 'The cohort''s name, as configured';
comment on column publishing.cohorts.cohort is 'Monday of the cohort''s week (ISO, UTC)';
comment on column publishing.cohorts.weeks_later is '0 is the cohort itself';
comment on column publishing.cohorts.persons is 'Persons of the cohort who came back in that week, at 0 all of them; rounded';

-- A week's return is a part of its cohort, and so is what is left: both have k persons, or the return is not published.
create function publishing.check_return() returns trigger
language plpgsql
set search_path = pg_catalog
as $$
declare
    v_cohort bigint;
begin
    if new.weeks_later = 0 then
        return new;
    end if;
    select c.persons into v_cohort
    from publishing.cohorts as c
    where c.region = new.region and c.cohort_name = new.cohort_name and c.cohort = new.cohort and c.weeks_later = 0;
    if v_cohort is null or v_cohort - new.persons < new.k then
        raise exception 'cohort % of %, % weeks later: the cohort is not published, or less than % of it are left',
            new.cohort, new.region, new.weeks_later, new.k
            using errcode = 'check_violation';
    end if;
    return new;
end
$$;

comment on function publishing.check_return() is 'Refuses a return whose cohort is not published, or of which fewer than k did not come back';

create trigger check_return before insert on publishing.cohorts
for each row execute function publishing.check_return();

create table publishing.revenue (
    publication_id uuid not null,
    region text not null,
    dataset text not null default 'revenue' check (dataset = 'revenue'),
    k integer not null,
    closes_on date not null,
    day date not null,
    currency text not null check (currency ~ '^([A-Z]{3}|other)$'),
    persons bigint not null check (persons >= k),
    orders bigint not null check (orders >= persons),
    revenue numeric(16, 2) check (revenue >= 0),
    check ((currency = 'other') = (revenue is null)),
    primary key (region, day, currency),
    foreign key (publication_id, region, dataset, k)
    references publishing.publications (publication_id, region, dataset, k)
);

comment on table publishing.revenue is 'What was ordered on a day, by currency; amounts of different currencies are never added';
comment on column publishing.revenue.publication_id is 'The refresh that added the row';
comment on column publishing.revenue.region is 'The cell';
comment on column publishing.revenue.dataset is 'Always revenue; for the reference to the refresh';
comment on column publishing.revenue.k is 'Fewest persons of a group, at that time';
comment on column publishing.revenue.closes_on is 'Day on which the day had settled';
comment on column publishing.revenue.day is 'Day (UTC) of the orders';
comment on column publishing.revenue.currency is 'ISO 4217, or other: currencies too small to stand alone, together, without an amount';
comment on column publishing.revenue.persons is 'Persons who ordered, rounded';
comment on column publishing.revenue.orders is 'Orders, rounded';
comment on column publishing.revenue.revenue is 'Sum of the orders'' totals with tax and shipping, to three significant digits';

grant select, insert on publishing.funnel, publishing.cohorts, publishing.revenue to publisher;
