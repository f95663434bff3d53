create table geo.regions (
    region text primary key,
    name text not null,
    residency text[] not null check (cardinality(residency) > 0)
);

comment on table geo.regions is 'The regions of the service';
comment on column geo.regions.region is 'na, eu or apac';
comment on column geo.regions.name is 'For people';
comment on column geo.regions.residency is 'Cells in which a person of this region may live; eu: eu only';

grant select on geo.regions to app;

-- The same three rows in every cell: what may live where does not depend on where it is asked.
insert into geo.regions (region, name, residency) values
('na', 'North America', '{na,eu,apac}'),
('eu', 'European Union', '{eu}'),
('apac', 'Asia-Pacific', '{na,eu,apac}');
