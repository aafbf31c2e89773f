# SPDX-License-Identifier: Apache-2.0
"""Requests with an Idempotency-Key that were done."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "requests",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("token_id", sa.String(12), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("done_at", sa.Double(), nullable=False),
        sa.Column("made", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
    )
