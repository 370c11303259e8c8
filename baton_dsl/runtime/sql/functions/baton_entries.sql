-- The items of a collection in order; those of an object are pairs of key and value. PostgreSQL can't split an object if a
-- string in it contains a NUL character, which JSON allows. So NULs are replaced meanwhile by a text that does not occur in
-- it, its own hash. After an escaped backslash, "u0000" is not a NUL.
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
            NULL; -- not a collection
    END CASE;
END
$function$;
