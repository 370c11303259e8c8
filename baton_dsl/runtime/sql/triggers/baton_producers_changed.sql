CREATE OR REPLACE TRIGGER baton_producers_changed
AFTER INSERT OR UPDATE OF updated_at ON oban_producers
FOR EACH STATEMENT
EXECUTE FUNCTION baton_producers_changed();
