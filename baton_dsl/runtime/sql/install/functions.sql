-- Creates missing functions, replaces those that differ from their files, and drops those of ours without a file. Each
-- function has a comment with a digest of its file and of the created function, so that one that was changed by hand is
-- replaced too. Functions that are up to date are not touched.
DO $install$
DECLARE
    file record;
    before text[];
    own_id regprocedure;
BEGIN
    -- A newer library has installed functions that also work with this one.
    IF (SELECT max(version) FROM baton.baton_migrations) > :version THEN
        RETURN;
    END IF;
    FOR file IN
        SELECT each.name, each.mark, each.definition
        FROM (VALUES
            :definitions
        ) AS each(name, mark, definition)
        WHERE each.name IS NOT NULL AND NOT EXISTS (
            SELECT FROM pg_proc AS own
            WHERE own.pronamespace = 'baton'::regnamespace
                AND own.proname = each.name
                AND obj_description(own.oid, 'pg_proc') = each.mark || :made
        )
    LOOP
        before := ARRAY(
            SELECT own.oid || ' ' || own.xmin FROM pg_proc AS own
            WHERE own.pronamespace = 'baton'::regnamespace AND own.proname = file.name
        );
        BEGIN
            EXECUTE file.definition;
        EXCEPTION
            WHEN invalid_function_definition THEN -- its return type or the name of an argument has changed
                FOR own_id IN
                    SELECT own.oid FROM pg_proc AS own
                    WHERE own.pronamespace = 'baton'::regnamespace AND own.proname = file.name
                LOOP
                    EXECUTE 'DROP FUNCTION ' || own_id;
                END LOOP;
                EXECUTE file.definition;
        END;
        SELECT own.oid INTO STRICT own_id
        FROM pg_proc AS own
        WHERE own.pronamespace = 'baton'::regnamespace
            AND own.proname = file.name
            AND own.oid || ' ' || own.xmin <> ALL(before);
        EXECUTE 'COMMENT ON FUNCTION ' || own_id || ' IS '
            || quote_literal((SELECT file.mark || :made FROM pg_proc AS own WHERE own.oid = own_id));
    END LOOP;

    -- Leftovers: our functions with other arguments or other names than today.
    FOR own_id IN
        SELECT own.oid
        FROM pg_proc AS own
        LEFT JOIN (VALUES
            :marks
        ) AS each(name, mark) ON each.name = own.proname
        WHERE own.pronamespace = 'baton'::regnamespace
            AND CASE
                WHEN each.name IS NULL THEN starts_with(obj_description(own.oid, 'pg_proc'), :marked)
                ELSE obj_description(own.oid, 'pg_proc') IS DISTINCT FROM each.mark || :made
            END
    LOOP
        EXECUTE 'DROP FUNCTION ' || own_id;
    END LOOP;
END
$install$
