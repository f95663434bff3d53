-- The classes of sql/relations.yml, said where a reader of the database looks. A digest of somebody's id leads to them for
-- whoever knows the id.
set local role owner;

comment on column platform.person_operations.person_id is
'The person while the operation is open; all zeros once it has ended (personal: person)';
comment on column platform.former_persons.digest is 'SHA-256 of the cell''s salt and the person''s id (personal: pseudonym)';
comment on column platform.person_consents.person_digest is 'SHA-256 of salt and the person''s id (personal: pseudonym)';
comment on column platform.person_consents.from_region is 'Region of record until then (personal: quasi)';
comment on column platform.person_consents.to_region is 'Region of record from then on (personal: quasi)';
