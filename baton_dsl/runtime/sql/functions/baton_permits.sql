-- Whether a node may run although an upstream ended with this outcome.
CREATE OR REPLACE FUNCTION baton.baton_permits(
    outcome text, ignore_cancelled boolean, ignore_discarded boolean, is_optional boolean
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
AS $function$
    SELECT coalesce(
        CASE outcome
            WHEN 'completed' THEN true
            WHEN 'cancelled' THEN ignore_cancelled
            WHEN 'discarded' THEN ignore_discarded
            WHEN 'skipped' THEN is_optional
        END,
        false
    )
$function$;
