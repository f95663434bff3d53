-- The classes of sql/relations.yml, said where a reader of the database looks. A digest of somebody's id leads to them for
-- whoever knows the id.
comment on column analytics.former_users.digest is
'SHA-256 of the tenant''s id, a slash and the shopper''s number (personal: pseudonym)';
