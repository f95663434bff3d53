-- People who do not exist, so that a copy of people can be told wherever it is: their ids begin with a mark that no other
-- id has but by chance, and their id is in every personal column of theirs. They have no shopper and no tenant, so that
-- no mart, no quota and no count of customers knows them. A proof makes them where they are missing; nothing else is to
-- have them.
set local role owner;

create table geo.canaries (
    person_id uuid primary key references geo.users (id) on delete cascade
);

comment on table geo.canaries is 'Persons who do not exist: where one of them is found, there is a copy of people';
comment on column geo.canaries.person_id is 'The person; random but for its beginning, and never written down outside the cell (personal: person)';

alter table geo.canaries enable row level security;
alter table geo.canaries force row level security;
