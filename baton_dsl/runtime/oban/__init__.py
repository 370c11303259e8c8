"""All that knows Oban: what runs beside its instances, and what baton-dsl relies on beyond Oban's public API."""
