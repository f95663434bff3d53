-- What sql/geo/003_residency.sql made, word for word; that its functions are the migrations' is routines_are_declared.
with enforced (relation, definition) as (
    values
    (
        'geo.users',
        'CREATE CONSTRAINT TRIGGER "People_live_where_they_may" AFTER INSERT OR UPDATE ON geo.users '
        || 'NOT DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION geo.require_home()'
    ),
    (
        'geo.users',
        'CREATE CONSTRAINT TRIGGER eu_data_stays_in_the_eu AFTER UPDATE ON geo.users '
        || 'DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW '
        || 'WHEN (((old.region IS DISTINCT FROM new.region) AND (new.region <> ''eu''::text))) '
        || 'EXECUTE FUNCTION geo.require_no_sensitive_data()'
    ),
    (
        'geo.eu_user_data',
        'CREATE CONSTRAINT TRIGGER eu_data_stays_in_the_eu AFTER INSERT OR UPDATE ON geo.eu_user_data '
        || 'DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION geo.require_sensitive_data_in_the_eu()'
    ),
    (
        'geo.regions',
        'CREATE CONSTRAINT TRIGGER people_live_where_they_may AFTER UPDATE ON geo.regions '
        || 'NOT DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW '
        || 'WHEN (((old.region IS DISTINCT FROM new.region) OR (old.residency IS DISTINCT FROM new.residency))) '
        || 'EXECUTE FUNCTION geo.require_homes_of_all()'
    ),
    (
        'geo.regions',
        'CREATE CONSTRAINT TRIGGER people_live_where_they_may_still AFTER DELETE ON geo.regions '
        || 'NOT DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION geo.require_homes_of_all()'
    ),
    (
        'platform.cell',
        'CREATE CONSTRAINT TRIGGER people_live_where_they_may AFTER INSERT ON platform.cell '
        || 'NOT DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION geo.require_homes_of_all()'
    ),
    (
        'platform.cell',
        'CREATE TRIGGER keep_cell BEFORE DELETE OR UPDATE ON platform.cell '
        || 'FOR EACH ROW EXECUTE FUNCTION geo.keep_cell()'
    ),
    (
        'platform.cell',
        'CREATE TRIGGER keep_cell_whole BEFORE TRUNCATE ON platform.cell '
        || 'FOR EACH STATEMENT EXECUTE FUNCTION geo.keep_cell()'
    )
)

select
    e.relation || ' (' || (regexp_match(e.definition, 'TRIGGER "?(\w+)'))[1] || ')' as object,
    1 as offenders
from enforced as e
where not exists (
    select
    from pg_trigger as t
    where t.tgrelid = to_regclass(e.relation)
        and pg_get_triggerdef(t.oid) = e.definition
        -- ALWAYS: also in apply workers and in replica mode.
        and t.tgenabled = 'A'
);
