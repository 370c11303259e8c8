"""Connect to a database, read it in one snapshot, and handle a database that does not answer."""

from baton_dsl.runtime.database.database import Database as Database
from baton_dsl.runtime.database.snapshot import read as read
from baton_dsl.runtime.database.snapshot import read_sync as read_sync
