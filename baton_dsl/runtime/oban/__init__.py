"""Everything that knows Oban: what runs beside its instances, and what we use beyond its public API."""
