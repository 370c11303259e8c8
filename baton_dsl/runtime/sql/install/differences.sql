-- What an install would change, one row each; no rows if everything is up to date.
WITH installed AS (
    SELECT coalesce(max(version), 0) AS version FROM baton.baton_migrations
)
SELECT 'tables' AS kind, lpad(each.version::text, 4, '0') AS name, false AS is_there
FROM (VALUES
    :tables
) AS each(version)
CROSS JOIN installed
WHERE each.version > installed.version
UNION ALL
SELECT 'function', each.name, EXISTS (
    SELECT FROM pg_proc AS own WHERE own.pronamespace = 'baton'::regnamespace AND own.proname = each.name
)
FROM (VALUES
    :functions
) AS each(name, mark)
CROSS JOIN installed
WHERE installed.version <= :version
    AND NOT EXISTS (
        SELECT FROM pg_proc AS own
        WHERE own.pronamespace = 'baton'::regnamespace
            AND own.proname = each.name
            AND obj_description(own.oid, 'pg_proc') = each.mark || :made_function
    )
UNION ALL
SELECT 'trigger', each.name, EXISTS (
    SELECT FROM pg_trigger AS own WHERE own.tgrelid = each.home::regclass AND own.tgname = each.name
)
FROM (VALUES
    :triggers
) AS each(name, home, mark)
CROSS JOIN installed
WHERE installed.version <= :version
    AND NOT EXISTS (
        SELECT FROM pg_trigger AS own
        WHERE own.tgrelid = each.home::regclass
            AND own.tgname = each.name
            AND obj_description(own.oid, 'pg_trigger') = each.mark || :made_trigger
    )
UNION ALL
SELECT 'leftover', own.oid::regprocedure::text, true
FROM pg_proc AS own
CROSS JOIN installed
LEFT JOIN (VALUES
    :functions
) AS each(name, mark) ON each.name = own.proname
WHERE own.pronamespace = 'baton'::regnamespace
    AND installed.version <= :version
    AND CASE
        WHEN each.name IS NULL THEN starts_with(obj_description(own.oid, 'pg_proc'), :marked)
        ELSE obj_description(own.oid, 'pg_proc') IS DISTINCT FROM each.mark || :made_function
            AND (SELECT count(*) FROM pg_proc AS same WHERE same.pronamespace = own.pronamespace AND same.proname = own.proname) > 1
    END
ORDER BY kind, name
