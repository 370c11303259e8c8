"""The tables of Oban and of baton-dsl, and the rights of the other roles."""

from alembic import op
from oban.schema import install_sql, uninstall_sql

from baton_dsl.runtime import schema
from baton_dsl.runtime.grants import Grants

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(install_sql())
    schema.upgrade(op)
    for statement in Grants(worker=("shop_worker",), insert=("shop_api",)).statements():
        op.execute(statement)


def downgrade() -> None:
    schema.downgrade(op)
    op.execute(uninstall_sql())
