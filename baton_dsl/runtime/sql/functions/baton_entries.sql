-- The items of a collection in order; those of an object are its keys with their values. PostgreSQL takes an object apart
-- only if no string in it, at any depth, has a NUL character, which JSON allows: something that the text does not contain,
-- its own hash, stands for NULs meanwhile. An escaped backslash before "u0000" makes no NUL of it.
CREATE OR REPLACE FUNCTION baton.baton_entries(whole json)
RETURNS TABLE (number bigint, value json)
LANGUAGE plpgsql
IMMUTABLE
AS $function$
DECLARE
    written text := whole::text;
    marker text;
BEGIN
    CASE json_typeof(whole)
        WHEN 'array' THEN
            RETURN QUERY
            SELECT item.place, item.part
            FROM json_array_elements(whole) WITH ORDINALITY AS item(part, place);
        WHEN 'object' THEN
            IF strpos(written, '\u0000') = 0 THEN
                RETURN QUERY
                SELECT item.place, json_build_array(item.name, item.part)
                FROM json_each(whole) WITH ORDINALITY AS item(name, part, place);
            ELSE
                marker := md5(written);
                RETURN QUERY
                SELECT item.place,
                    replace(json_build_array(item.name, item.part)::text, marker, '\u0000')::json
                FROM json_each(regexp_replace(written, '(?<!\\)((?:\\\\)*)\\u0000', '\1' || marker, 'g')::json)
                    WITH ORDINALITY AS item(name, part, place);
            END IF;
        ELSE
            NULL; -- no collection
    END CASE;
END
$function$;
