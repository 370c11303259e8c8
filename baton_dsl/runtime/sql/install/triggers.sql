-- Makes the triggers that are not there, and replaces those that are not what their files say. A trigger that is as it
-- should be is not touched: to replace it would take a lock that waits for every transaction that writes to the table,
-- and that every later one waits for.
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
