"""Reach a database, read it in one snapshot, and cope when it does not answer."""

from baton_dsl.runtime.database.database import Database as Database
from baton_dsl.runtime.database.snapshot import read as read
from baton_dsl.runtime.database.snapshot import read_sync as read_sync
