-- timescaledb must be in shared_preload_libraries; both are trusted packages of the server, not of this repository.
create extension if not exists timescaledb;
create extension if not exists ltree;
