# SPDX-License-Identifier: Apache-2.0
"""Locks of bank slots."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "slot_locks",
        sa.Column("bank_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("slot_nr", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("locked_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("bank_id", "slot_nr", name="pk_slot_locks"),
    )
