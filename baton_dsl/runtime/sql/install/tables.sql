-- Runs the files of tables that have not been run in this schema, in order.
DO $install$
DECLARE
    file record;
    installed integer := 0;
BEGIN
    IF current_setting('server_version_num')::integer < :oldest * 10000 THEN
        RAISE EXCEPTION 'this PostgreSQL is too old for baton-dsl: :oldest or newer is needed';
    END IF;
    IF to_regclass('baton.baton_migrations') IS NOT NULL THEN
        installed := (SELECT coalesce(max(version), 0) FROM baton.baton_migrations);
    END IF;
    FOR file IN
        SELECT each.version, each.definition
        FROM (VALUES
            :definitions
        ) AS each(version, definition)
        WHERE each.version > installed
        ORDER BY each.version
    LOOP
        EXECUTE file.definition;
        INSERT INTO baton.baton_migrations (version) VALUES (file.version);
    END LOOP;
END
$install$
