"""Everything that depends on Oban's internals: what runs beside its instances, and what its public API lacks."""
