-- The classes of sql/relations.yml, said where a reader of the database looks. Forward only: a class that changes is a
-- comment in a new file.

comment on column saas.users.id is 'The member of staff, within the tenant (personal: account)';
comment on column saas.users.person_id is 'The person, in the same cell (personal: person)';
comment on column saas.users.email is 'Login, unique within the tenant (personal: direct)';
comment on column saas.users.role is 'owner, admin, member or viewer (personal: quasi)';

comment on column saas.projects.created_by is 'Member of staff who made it, NULL when they are gone (personal: account)';
