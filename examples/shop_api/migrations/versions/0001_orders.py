"""The shop's own tables, with something in stock."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    articles = op.create_table(
        "articles",
        sa.Column("sku", sa.String, primary_key=True),
        sa.Column("price", sa.Integer, nullable=False),
        sa.Column("stock", sa.Integer, nullable=False),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("customer", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("total", sa.Integer),
    )
    op.bulk_insert(articles, [{"sku": "baton", "price": 40, "stock": 100}, {"sku": "score", "price": 15, "stock": 100}])
    op.execute("GRANT SELECT, INSERT ON orders TO shop_api")
    op.execute("GRANT USAGE ON SEQUENCE orders_id_seq TO shop_api")
    op.execute("GRANT SELECT, UPDATE ON orders, articles TO shop_worker")


def downgrade() -> None:
    op.drop_table("orders")
    op.drop_table("articles")
