"""The connection strings: the API connects through pgbouncer, everything else directly."""

import os
from typing import Final

API_DSN: Final = os.environ.get("SHOP_API_DSN", "postgresql://shop_api:api@localhost:6432/shop")
OWNER_DSN: Final = os.environ.get("SHOP_OWNER_DSN", "postgresql://shop_owner:owner@localhost:5432/shop")


def url(dsn: str) -> str:
    """The same for SQLAlchemy, with the driver psycopg."""
    return dsn.replace("postgresql://", "postgresql+psycopg://", 1)
