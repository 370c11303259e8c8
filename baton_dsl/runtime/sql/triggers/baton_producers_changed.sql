CREATE OR REPLACE TRIGGER baton_producers_changed
AFTER INSERT OR UPDATE OF updated_at ON baton.oban_producers
FOR EACH STATEMENT
EXECUTE FUNCTION baton.baton_producers_changed();
