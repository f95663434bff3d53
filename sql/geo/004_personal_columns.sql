-- The classes of sql/relations.yml, said where a reader of the database looks. Forward only: a class that changes is a
-- comment in a new file.

comment on column geo.users.id is 'The person (personal: person)';
comment on column geo.users.email is 'Address; not unique, for uniqueness across regions would need the address in all of them (personal: direct)';
comment on column geo.users.region is 'Region of record; decides in which cells the person may live (personal: quasi)';
comment on column geo.users.profile is 'What the person told about themselves (personal: direct)';

comment on column geo.eu_user_data.user_id is 'The person (personal: person)';
comment on column geo.eu_user_data.sensitive_data is 'The data (personal: direct)';
