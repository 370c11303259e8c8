"""The SQL files of the schema."""
