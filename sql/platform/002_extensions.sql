-- timescaledb must be in shared_preload_libraries; both come with the server's packages. Functions that pin their
-- search_path name the schema, so it is named here too.
create extension if not exists timescaledb schema public;
create extension if not exists ltree schema public;
