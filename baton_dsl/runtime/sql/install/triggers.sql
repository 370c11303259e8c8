-- Creates missing triggers, and replaces those that differ from their files. A trigger that is up to date is not touched,
-- because replacing it needs a lock that waits for every transaction that writes to the table, and for which every later
-- transaction waits.
DO $install$
DECLARE
    file record;
BEGIN
    IF (SELECT max(version) FROM baton.baton_migrations) > :version THEN
        RETURN;
    END IF;
    FOR file IN
        SELECT each.name, each.home, each.mark, each.definition
        FROM (VALUES
            :definitions
        ) AS each(name, home, mark, definition)
        WHERE NOT EXISTS (
            SELECT FROM pg_trigger AS own
            WHERE own.tgrelid = each.home::regclass
                AND own.tgname = each.name
                AND obj_description(own.oid, 'pg_trigger') = each.mark || :made
        )
    LOOP
        EXECUTE file.definition;
        EXECUTE 'COMMENT ON TRIGGER ' || file.name || ' ON ' || file.home || ' IS ' || quote_literal((
            SELECT file.mark || :made FROM pg_trigger AS own
            WHERE own.tgrelid = file.home::regclass AND own.tgname = file.name
        ));
    END LOOP;
END
$install$
