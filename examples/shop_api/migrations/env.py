"""Alembic's environment: migrations run as the owner of the database, and leave Oban's tables alone."""

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from baton_dsl.runtime import schema
from shop_api.models import Base
from shop_api.settings import OWNER_DSN, url

with create_engine(url(OWNER_DSN), poolclass=NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, include_object=schema.include_object())
    with context.begin_transaction():
        context.run_migrations()
